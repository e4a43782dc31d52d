// What the snapshot needs of JavaScript.

export async function sha256(content) {
  // `content` is Rust's memory.
  return new Uint8Array(await crypto.subtle.digest("SHA-256", content.slice()));
}

// What an isolate of this location kept under `url`, or null.
export async function readCopy(url) {
  const copy = await caches.default.match(url);
  return copy === undefined ? null : new Uint8Array(await copy.arrayBuffer());
}

export async function keepCopy(url, content, maxAge) {
  const copy = new Response(content, { headers: { "cache-control": "public, max-age=" + maxAge } });
  await caches.default.put(url, copy);
}
