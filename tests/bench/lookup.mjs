// Times look-ups in the Wasm of tests/lookup: MODULE COUNT STRETCH ROUNDS WARM_UP. Prints JSON:
// how long each stretch of look-ups took, in nanoseconds, after so many rounds that do not count.
import { readFileSync } from "node:fs";

const [path, ...numbers] = process.argv.slice(2);
const [count, stretch, rounds, warmUp] = numbers.map(Number);
const { instance } = await WebAssembly.instantiate(readFileSync(path));
const { prepare, look_up, bytes } = instance.exports;
prepare(count);

const nanoseconds = [];
let sum;
for (let round = 0; round < warmUp + rounds; round += 1) {
  sum = 0n;
  for (let start = 0; start < count; start += stretch) {
    const started = process.hrtime.bigint();
    sum += look_up(start, start + stretch);
    if (round >= warmUp) nanoseconds.push(Number(process.hrtime.bigint() - started));
  }
}
console.log(JSON.stringify({ nanoseconds, sum: Number(sum), bytes: bytes() }));
