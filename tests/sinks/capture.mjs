// Runs the SDKs before a server on this machine and keeps what they send it:
// `node capture.mjs` writes the golden files, `node capture.mjs --check` compares.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const golden = new URL("../../control-plane/tests/sinks/golden/", import.meta.url);
const packages = { lunary: "lunary", helicone: "@helicone/helpers" };

/** Headers that the HTTP client adds by itself. */
const transport = /^(host|connection|content-length|accept|accept-.*|sec-fetch-.*|user-agent)$/;

async function listen(respond) {
  let calls = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const part of request.setEncoding("utf8")) text += part;
    const headers = Object.entries(request.headers).filter(([name]) => !transport.test(name));
    const body = JSON.parse(text);
    calls.push({ method: request.method, path: request.url, headers: Object.fromEntries(headers.sort()), body });
    respond(body, response);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const until = async (count) => {
    for (let tries = 0; calls.length < count; tries += 1) {
      if (tries === 500) throw new Error(`only ${calls.length} of ${count} calls came`);
      await sleep(10);
    }
  };
  const quiet = async () => {
    for (let before = -1; before !== calls.length; ) {
      before = calls.length;
      await sleep(100);
    }
  };
  const take = () => calls.splice(0);
  const close = () => server.close();
  return { url: `http://127.0.0.1:${server.address().port}`, take, until, quiet, close };
}

/** As the services answer. */
const respond = {
  lunary: (body, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ results: body.events.map(({ runId }) => ({ id: runId, success: true })) }));
  },
  helicone: (_, response) => response.end("ok"),
};

/** What differs from run to run is named instead: ids, times, stacks; and keys. */
function normalized(captured, secrets) {
  const ids = [];
  const text = (value) => {
    const clean = secrets.reduce((left, secret) => left.replaceAll(secret, "<key>"), value);
    return clean.replace(/(\n\s+at [^\n]*)+/g, "\n<stack>");
  };
  const named = (key, value) => {
    switch (key) {
      case "runId":
        if (!ids.includes(value)) ids.push(value);
        return `<run ${ids.indexOf(value) + 1}>`;
      case "timestamp":
        return "<unix ms>";
      case "timeToFirstToken":
        return "<ms>";
      case "seconds":
      case "milliseconds":
        return `<${key}>`;
      default:
        return walk(value);
    }
  };
  const walk = (value) => {
    if (typeof value === "string") return text(value);
    if (Array.isArray(value)) return value.map(walk);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, named(key, each)]));
  };
  return walk(captured);
}

/** Of what is made of an event nothing differs but the key. */
const withoutKeys = (captured, secrets) =>
  JSON.parse(secrets.reduce((left, secret) => left.replaceAll(secret, "<key>"), JSON.stringify(captured)));

async function capture(name) {
  const server = await listen(respond[name]);
  // Nothing else may be called.
  const real = globalThis.fetch;
  globalThis.fetch = (url, options) => {
    if (!String(url).startsWith(`${server.url}/`)) throw new Error(`a call of ${url}`);
    return real(url, options);
  };
  // The SDKs tell of the failures that they are given.
  const { error } = console;
  console.error = () => {};
  try {
    const { default: run } = await import(`./${name}.mjs`);
    const { secrets, from_watching, ...rest } = await run(server);
    const manifest = new URL(`node_modules/${packages[name]}/package.json`, import.meta.url);
    const { version } = JSON.parse(await readFile(manifest, "utf8"));
    return {
      sdk: `${packages[name]} ${version}`,
      ...withoutKeys(rest, secrets),
      from_watching: Object.fromEntries(
        Object.entries(from_watching).map(([each, calls]) => [each, normalized(calls, secrets)]),
      ),
    };
  } finally {
    globalThis.fetch = real;
    console.error = error;
    server.close();
  }
}

const check = process.argv.includes("--check");
let differs = false;
for (const name of Object.keys(packages)) {
  const text = `${JSON.stringify(await capture(name), null, 2)}\n`;
  const file = new URL(`${name}.json`, golden);
  if (!check) {
    await mkdir(golden, { recursive: true });
    await writeFile(file, text);
    continue;
  }
  const kept = (await readFile(file, "utf8")).split("\n");
  const line = text.split("\n").findIndex((each, index) => each !== kept[index]);
  if (line !== -1 || kept.join("\n").length !== text.length) {
    differs = true;
    const at = line === -1 ? kept.length : line;
    console.error(`${name}.json differs in line ${at + 1}:\n- ${kept[at]}\n+ ${text.split("\n")[at]}`);
  }
}
process.exit(differs ? 1 : 0);
