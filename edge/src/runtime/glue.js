// What the edge does with JavaScript's objects, in as few crossings as it can:
// one to read a request, one to forward it or to answer. Nothing is decided
// here; lists of headers come from Rust as lines.

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

// Sends a request upstream and makes the client's response of the answer; or
// says in a word, or by the status, why there is none to pass on.
export async function forward(request, url, withheld, headers, answerWithheld, answerHeaders, firstByteMs, maxBody) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), firstByteMs);
  let counted;
  let upstream;
  try {
    // The client's request is cloned as a whole; its headers are then edited.
    const outgoing = maxBody > 0 && request.body !== null
      ? new Request(url, { method: request.method, headers: request.headers, body: (counted = count(request.body, maxBody)).body })
      : new Request(url, request);
    remove(outgoing.headers, withheld);
    set(outgoing.headers, headers);
    upstream = await fetch(outgoing, { redirect: "manual", signal: abort.signal });
  } catch {
    if (counted?.exceeded) return "too_large";
    return abort.signal.aborted ? "timeout" : "unreachable";
  } finally {
    clearTimeout(timer);
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

// A body of undeclared length, cut off with an error when it grows too large.
function count(body, max) {
  const counted = { exceeded: false, body: null };
  let length = 0;
  counted.body = body.pipeThrough(new TransformStream({
    transform(chunk, controller) {
      length += chunk.byteLength;
      if (length <= max) return controller.enqueue(chunk);
      counted.exceeded = true;
      controller.error(new Error("the request body is too large"));
    },
  }));
  return counted;
}
