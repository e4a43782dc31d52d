// The floor: what a JavaScript worker pays for the same header work, with no
// token checked, no allow-list, no time limit and no snapshot behind it.

const WITHHELD = new Set([
  "authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "connection", "keep-alive",
  "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
  "x-http-method", "x-http-method-override", "x-method-override", "openai-organization", "openai-project",
  "forwarded", "x-real-ip", "true-client-ip", "cdn-loop",
]);
const ANSWER_WITHHELD = [
  "connection", "keep-alive", "proxy-authenticate", "proxy-connection", "trailer", "transfer-encoding", "upgrade",
  "set-cookie", "set-cookie2", "openai-organization", "openai-project", "authorization", "x-api-key", "api-key",
  "x-goog-api-key", "x-latchkey-error", "alt-svc",
];

export default {
  async fetch(request, env) {
    const { pathname, search } = new URL(request.url);
    const outgoing = new Request(env.UPSTREAM + pathname.slice("/openai".length) + search, request);
    for (const name of [...outgoing.headers.keys()]) {
      if (WITHHELD.has(name) || name.startsWith("cf-") || name.startsWith("x-forwarded-") || name.startsWith("x-latchkey-")) {
        outgoing.headers.delete(name);
      }
    }
    outgoing.headers.set("authorization", env.KEY);
    const upstream = await fetch(outgoing, { redirect: "manual" });
    const response = new Response(upstream.body, upstream);
    for (const name of ANSWER_WITHHELD) response.headers.delete(name);
    response.headers.set("x-latchkey-request-id", crypto.randomUUID());
    response.headers.set("x-latchkey-snapshot", "1795444000000;age=1");
    return response;
  },
};
