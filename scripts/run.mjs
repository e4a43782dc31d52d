// `make run`: the whole system on this machine. Starts the example upstream
// (unless OPENAI_API_KEY is set), the edge and the control plane, makes the
// demo project and token once, prints a curl, and stops everything together.
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { Children, assertFree, waitFor } from "./run/children.mjs";
import { ensureDemo } from "./run/demo.mjs";
import { readSettings, writeEdgeVariables } from "./run/settings.mjs";

const home = resolve(process.env.LATCHKEY_HOME ?? ".latchkey");
const edgePort = Number(process.env.EDGE_PORT ?? 8787);
const listenAddr = process.env.LISTEN_ADDR ?? `127.0.0.1:${process.env.CONTROL_PLANE_PORT ?? 8080}`;
const upstreamPort = Number(process.env.EXAMPLE_UPSTREAM_PORT ?? 8089);
const edge = `http://127.0.0.1:${edgePort}`;
const controlPlane = `http://${listenAddr}`;
const upstream = process.env.OPENAI_API_KEY ? undefined : `http://127.0.0.1:${upstreamPort}`;
const target = process.env.CARGO_TARGET_DIR ?? "target";

const children = new Children();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => children.stop(0));

try {
  await start();
} catch (error) {
  console.error(`\nmake run: ${error.message}`);
  await children.stop(1);
}

async function start() {
  await assertFree(edgePort, "EDGE_PORT");
  await assertFree(Number(listenAddr.split(":").at(-1)), "CONTROL_PLANE_PORT");
  if (upstream) await assertFree(upstreamPort, "EXAMPLE_UPSTREAM_PORT");
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const settings = readSettings({ home, edge, listenAddr, latchkey: `${target}/debug/latchkey` });
  const edgeVariables = writeEdgeVariables(home, settings, controlPlane);

  if (upstream) {
    children.start("upstream", `${target}/debug/example-upstream`, ["--listen", `127.0.0.1:${upstreamPort}`]);
  }
  children.start("edge", "wrangler", [
    "dev", "--ip", "127.0.0.1", "--port", String(edgePort), "--inspector-port", "0", "--persist-to", `${home}/edge`,
    "--env-file", edgeVariables, "--show-interactive-dev-session=false", "--log-level", process.env.EDGE_LOG_LEVEL ?? "warn",
  ], { WRANGLER_SEND_METRICS: "false", CLOUDFLARE_CF_FETCH_ENABLED: "false", WRANGLER_LOG_PATH: `${home}/edge/logs` });
  await waitFor("the edge", () => fetch(`${edge}/healthz`));
  children.start("control-plane", `${target}/debug/latchkey`, ["serve"], settings);
  await waitFor("the control plane", () => ok(fetch(`${controlPlane}/readyz`)));

  const demo = await ensureDemo({ home, controlPlane, managementToken: firstOf(settings.MANAGEMENT_TOKEN), upstream });
  await waitFor("the demo at the edge", async () => {
    const { snapshot } = await (await fetch(`${edge}/healthz`)).json();
    if (!(snapshot?.version >= demo.snapshotVersion)) throw new Error("the edge has an older snapshot");
  });
  if (!children.isStopping) announce(demo);
}

async function ok(response) {
  const { status } = await response;
  if (status !== 200) throw new Error(`status ${status}`);
}

function firstOf(list) {
  return list.split(",")[0].trim();
}

function announce({ token, model }) {
  const to = upstream
    ? `the bundled example upstream (${upstream}); with OPENAI_API_KEY set, it would be OpenAI`
    : "OpenAI, with your OPENAI_API_KEY";
  const place = process.env.LATCHKEY_HOME ? `LATCHKEY_HOME=${home} ` : "";
  const usage = `${place}${target}/debug/latchkey usage --url ${controlPlane}`;
  console.log(`
Latchkey is running.
  edge           ${edge}
  control plane  ${controlPlane}   (API: ${controlPlane}/openapi.json)
  state and keys ${home}
  forwarding to  ${to}

Paste this; it goes on working tomorrow:

curl -N ${edge}/v1/chat/completions \\
  -H "Authorization: Bearer ${token}" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "${model}", "stream": true, "messages": [{"role": "user", "content": "Hello, who are you?"}]}'

What was used: ${usage}

Ctrl-C stops everything.`);
}
