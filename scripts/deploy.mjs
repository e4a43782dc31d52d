// `make deploy`: refuses while production is not configured, then deploys the edge.
import { readFileSync } from "node:fs";
import { spawnSync } from "node:child_process";

const config = readFileSync("wrangler.toml", "utf8");
const missing = [];
if (/^id = "latchkey-snapshot"$/m.test(config)) {
  missing.push("wrangler.toml: the id of the KV namespace (wrangler kv namespace create latchkey-snapshot)");
}
if (!/^SNAPSHOT_VERIFY_KEY = "[^"]+"$/m.test(config)) {
  missing.push("wrangler.toml, [vars]: SNAPSHOT_VERIFY_KEY (latchkey keygen prints it)");
}
for (const name of ["CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID"]) {
  if (!process.env[name]) missing.push(`environment: ${name}`);
}
if (missing.length > 0) {
  console.error(`Not deployed. Missing:\n${missing.map((line) => `  - ${line}`).join("\n")}`);
  process.exit(1);
}
process.exit(spawnSync("wrangler", ["deploy"], { stdio: "inherit" }).status ?? 1);
