// Adds to package-lock.json the builds of workerd for platforms whose packages
// the registry in use did not have: without an entry for each, `npm ci` refuses
// the lock file. Run it after `npm install`; `npm ci` verifies what it installs
// by version, and by integrity where that is known.
import { readFileSync, writeFileSync } from "node:fs";

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
const platforms = {
  "darwin-64": ["darwin", "x64"],
  "darwin-arm64": ["darwin", "arm64"],
  "windows-64": ["win32", "x64"],
};
const { version } = lock.packages["node_modules/workerd"];
for (const [name, [os, cpu]] of Object.entries(platforms)) {
  lock.packages[`node_modules/@cloudflare/workerd-${name}`] ??= {
    version, cpu: [cpu], dev: true, license: "Apache-2.0", optional: true, os: [os], engines: { node: ">=16" },
  };
}
const { "": root, ...rest } = lock.packages;
lock.packages = { "": root, ...Object.fromEntries(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1))) };
writeFileSync("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`);
