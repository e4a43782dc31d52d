// What the edge does with JavaScript's objects, in as few crossings as it can:
// one to read a request, one to forward it or to answer. Nothing is decided
// here; lists of headers come from Rust as lines.

// Larger bodies are sent on by a stream of their own, which tells when it is done.
const SMALL_BODY = 64 * 1024;

// In place of a timer: from now on there is none to start.
const ANSWERED = null;

// Method, URL, then the name and value of each header, a line each.
export function head(request) {
  let text = request.method + "\n" + request.url + "\n";
  for (const [name, value] of request.headers) text += name + "\n" + value + "\n";
  return text;
}

export function answer(status, headers, body) {
  const response = new Response(body, { status });
  set(response.headers, headers);
  return response;
}

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

// Sends a request upstream and makes the client's response of the answer; or
// says in a word, or by the status, why there is none to pass on.
// `length` is that of the body, if it is declared, else -1.
export async function forward(request, url, withheld, headers, answerWithheld, answerHeaders, firstByteMs, length, maxBody) {
  const abort = new AbortController();
  let timer;
  let upload;
  let upstream;
  const isSmall = request.body === null || (length >= 0 && length <= SMALL_BODY);
  try {
    // The client's request is cloned as a whole; its headers are then edited.
    const outgoing = isSmall ? new Request(url, request) : new Request(url, {
      method: request.method,
      headers: request.headers,
      body: (upload = send(request.body, length, maxBody)).body,
    });
    remove(outgoing.headers, withheld);
    set(outgoing.headers, headers);
    const answered = fetch(outgoing, { redirect: "manual", signal: abort.signal });
    // What a client takes to send a large body is not the upstream's silence.
    const startTimer = () => { if (timer !== ANSWERED) timer = setTimeout(() => abort.abort(), firstByteMs); };
    if (upload === undefined) startTimer();
    // A body that broke off must not end upstream as if it were whole. But an
    // upstream that has answered may stop reading: its answer still counts.
    else upload.done.then(startTimer, () => {
      upload.failed = true;
      if (timer !== ANSWERED || upload.exceeded) abort.abort();
    });
    upstream = await answered;
  } catch {
    if (upload?.exceeded) return "too_large";
    return abort.signal.aborted && !upload?.failed ? "timeout" : "unreachable";
  } finally {
    clearTimeout(timer);
    timer = ANSWERED;
  }
  const { status } = upstream;
  if (isNoAnswer(status)) {
    await upstream.body?.cancel();
    return status < 400 ? "redirect" : "unreachable";
  }
  const response = new Response(upstream.body, upstream);
  const nominated = response.headers.get("connection");
  if (nominated !== null) remove(response.headers, nominated.replaceAll(",", "\n"));
  remove(response.headers, answerWithheld);
  set(response.headers, answerHeaders);
  return response;
}

// A redirect is not followed, nor told: the client would take its token there.
// 520 to 526 and 530 are Cloudflare's own words for an origin it cannot reach.
function isNoAnswer(status) {
  return (status >= 300 && status < 400 && status !== 304) || (status >= 520 && status <= 526) || status === 530;
}

function remove(headers, lines) {
  if (lines !== "") for (const name of lines.split("\n")) headers.delete(name.trim());
}

function set(headers, lines) {
  const parts = lines.split("\n");
  for (let at = 0; at + 1 < parts.length; at += 2) headers.set(parts[at], parts[at + 1]);
}

// Streams a body on, and tells when all of it was sent.
function send(body, length, maxBody) {
  if (length >= 0) {
    const { readable, writable } = new FixedLengthStream(length);
    return { body: readable, done: body.pipeTo(writable), exceeded: false, failed: false };
  }
  const { readable, writable } = new IdentityTransformStream();
  const upload = { body: readable, done: undefined, exceeded: false, failed: false };
  upload.done = count(body, writable.getWriter(), maxBody, upload);
  return upload;
}

// Each chunk is taken on before the next is read, so that memory stays flat.
async function count(body, writer, maxBody, upload) {
  const reader = body.getReader({ mode: "byob" });
  let buffer = new Uint8Array(64 * 1024);
  for (let length = 0; ; ) {
    const { done, value } = await reader.read(buffer);
    if (done) return writer.close();
    length += value.byteLength;
    if (length > maxBody) {
      upload.exceeded = true;
      throw new Error("the request body is too large");
    }
    await writer.write(value);
    buffer = new Uint8Array(value.buffer);
  }
}
