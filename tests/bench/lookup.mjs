// Times look-ups in the Wasm of tests/lookup: MODULE COUNT ROUNDS. Prints JSON.
import { readFileSync } from "node:fs";

const [path, count, rounds] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(path));
const { prepare, look_up_all, bytes } = instance.exports;
prepare(Number(count));

const nanoseconds = [];
let sum;
for (let round = 0; round < Number(rounds); round += 1) {
  const started = process.hrtime.bigint();
  sum = look_up_all();
  nanoseconds.push(Number(process.hrtime.bigint() - started));
}
console.log(JSON.stringify({ nanoseconds, sum: Number(sum), bytes: bytes() }));
