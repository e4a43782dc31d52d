// The queue of events, from both of its sides, and the call that empties it.

export function send(queue, text) {
  return queue.send(text, { contentType: "text" });
}

export function encode(text) {
  return new TextEncoder().encode(text);
}

export function digest(body) {
  return crypto.subtle.digest("SHA-256", body);
}

// How often each message was delivered, this time included.
export function attempts(batch) {
  return Uint32Array.from(batch.messages, (message) => message.attempts);
}

// Each message is whole lines. One that is no text is not ours.
export function bodies(batch, from, to) {
  const texts = batch.messages.slice(from, to).map(({ body }) => (typeof body === "string" ? body : ""));
  return encode(texts.join(""));
}

export function acknowledge(batch, from, to) {
  for (let at = from; at < to; at++) batch.messages[at].ack();
}

export function retry(batch, from, delays) {
  delays.forEach((delaySeconds, at) => batch.messages[from + at].retry({ delaySeconds }));
}

// Resolves to the answer's status and, if it tells one, the server's time, a line each.
export async function post(url, headers, body, deadlineMs) {
  const parts = headers.split("\n");
  const pairs = [];
  for (let at = 0; at + 1 < parts.length; at += 2) pairs.push([parts[at], parts[at + 1]]);
  const signal = AbortSignal.timeout(deadlineMs);
  const response = await fetch(url, { method: "POST", headers: pairs, body, redirect: "manual", signal });
  // Read, so that the connection can be used again.
  await response.arrayBuffer();
  return response.status + "\n" + (response.headers.get("x-latchkey-time") ?? "");
}
