// Child processes that live and end together.
import { spawn } from "node:child_process";
import { createServer } from "node:net";

const STOP_MS = 10_000;

export class Children {
  #running = new Map();
  isStopping = false;

  // Its output appears here, each line with its name before it.
  start(name, command, args, env = {}) {
    // Its own process group: Ctrl-C reaches it through us, in order, and what it
    // started ends with it.
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"], detached: true });
    this.#running.set(name, child);
    for (const stream of [child.stdout, child.stderr]) prefixLines(stream, name);
    child.on("error", (error) => this.#ended(name, error.message));
    child.on("exit", (code, signal) => this.#ended(name, signal ?? `exit code ${code}`));
  }

  #ended(name, how) {
    if (!this.#running.delete(name) || this.isStopping) return;
    console.error(`\nmake run: ${name} ended (${how}); stopping the rest.`);
    this.stop(1);
  }

  // First the control plane, so that what it has to publish still finds a KV.
  async stop(code) {
    if (this.isStopping) return;
    this.isStopping = true;
    for (const [name, child] of [...this.#running].reverse()) {
      signalGroup(child, "SIGTERM");
      if (!(await exits(child, STOP_MS))) {
        console.error(`make run: ${name} did not stop within ${STOP_MS / 1000} s and was killed.`);
      }
      // Whatever of its group is left.
      signalGroup(child, "SIGKILL");
    }
    process.exit(code);
  }
}

function signalGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group has ended.
  }
}

function exits(child, ms) {
  if (child.exitCode !== null || child.signalCode !== null) return true;
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    child.once("exit", () => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

function prefixLines(stream, name) {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.trim() !== "") console.log(`[${name}] ${line}`);
  });
}

export async function assertFree(port, variable) {
  const server = createServer();
  await new Promise((resolve, reject) => {
    server.once("error", () => reject(new Error(`port ${port} is in use; set ${variable} to another one`)));
    server.listen(port, "127.0.0.1", resolve);
  });
  await new Promise((resolve) => server.close(resolve));
}

// Tries until it succeeds, for a minute.
export async function waitFor(what, attempt) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`${what} did not come up: ${error.cause?.message ?? error.message}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
