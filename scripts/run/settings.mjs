// The configuration of a local run: what the environment sets, over what was
// made on the first run and is kept in LATCHKEY_HOME, readable by its owner only.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const EDGE_SECRETS = ["EDGE_CREDENTIAL_KEY", "TOKEN_TAG_KEY", "EDGE_INGEST_KEY"];

export function readSettings({ home, edge, listenAddr, latchkey }) {
  const file = `${home}/keys.env`;
  if (!existsSync(file)) writePrivate(file, execFileSync(latchkey, ["keygen"], { encoding: "utf8" }));
  const defaults = {
    ...parseDotenv(readFileSync(file, "utf8")),
    LISTEN_ADDR: listenAddr,
    DATABASE_URL: `sqlite://${home}/latchkey.db?mode=rwc`,
    KV_API_BASE: `${edge}/cdn-cgi/local/explorer/api`,
    KV_NAMESPACE_ID: "latchkey-snapshot",
    ALLOW_PRIVATE_UPSTREAMS: "true",
    DEPLOYMENT_ID: "default",
    SNAPSHOT_REFRESH_MS: "1000",
  };
  if (Boolean(process.env.SNAPSHOT_SIGNING_KEY) !== Boolean(process.env.SNAPSHOT_VERIFY_KEY)) {
    throw new Error("SNAPSHOT_SIGNING_KEY and SNAPSHOT_VERIFY_KEY belong together: set both or neither");
  }
  const set = Object.entries(process.env).filter(([name, value]) => name in defaults && value !== "");
  return { ...defaults, ...Object.fromEntries(set) };
}

// For wrangler's --env-file: the worker's variables and secrets.
export function writeEdgeVariables(home, settings, controlPlane) {
  const names = ["SNAPSHOT_VERIFY_KEY", "SNAPSHOT_REFRESH_MS", "DEPLOYMENT_ID", ...EDGE_SECRETS];
  const lines = names.map((name) => `${name}="${settings[name]}"`);
  lines.push(`CONTROL_PLANE_URL="${controlPlane}"`);
  const file = `${home}/edge.env`;
  writePrivate(file, `${lines.join("\n")}\n`);
  return file;
}

export function writePrivate(file, text) {
  writeFileSync(file, text, { mode: 0o600 });
}

export function parseDotenv(text) {
  const pairs = text.split("\n").map((line) => line.match(/^([A-Z_]+)=["']?(.*?)["']?$/)).filter(Boolean);
  return Object.fromEntries(pairs.map(([, name, value]) => [name, value]));
}
