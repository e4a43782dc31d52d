// What Cloudflare calls. worker-build exports a class, of which an object would
// be made for each request, behind a proxy; its functions need no more than this.
import Entrypoint from "./index.js";

const { fetch, queue } = Entrypoint.prototype;

// Rust's futures go on by it. The runtime's own makes a function of each call.
const resolved = Promise.resolve();
globalThis.queueMicrotask = (task) => { resolved.then(task).catch(reportError); };

export default {
  fetch: (request, env, ctx) => fetch.call({ env, ctx }, request),
  queue: (batch, env, ctx) => queue.call({ env, ctx }, batch),
};
