// What Lunary's SDK sends: for Latchkey's events, and where it watches a call itself.
import { events, watched } from "./events.mjs";
import { defined, parsed } from "./json.mjs";

const KEY = "00000000-0000-4000-8000-00000000abcd";

for (const name of Object.keys(process.env)) {
  if (/^(LUNARY|LLMONITOR)_/.test(name)) delete process.env[name];
}
const { Monitor } = await import("lunary");
const { default: lunary } = await import("lunary");
const { monitorOpenAI } = await import("lunary/openai");

/** The mapping that a sink has to make: one event of ours, two or three of Lunary's. */
function report(monitor, event) {
  const type = event.endpoint.endsWith("/embeddings") ? "embed" : "llm";
  const runId = event.id;
  const name = event.model ?? event.model_requested;
  const runtime = "latchkey";
  const failed = event.completion !== "complete" || event.status >= 400;

  const asked = parsed(event.request_body);
  monitor.trackEvent(type, "start", {
    runId,
    timestamp: event.started_at,
    name,
    runtime,
    input: asked?.messages ?? asked?.input ?? event.request_body,
    userId: event.token_id,
    tags: [event.project_id],
    metadata: defined({
      projectId: event.project_id,
      provider: event.provider,
      endpoint: event.endpoint,
      modelRequested: event.model_requested,
      status: event.status,
      completion: event.completion,
      errorCode: event.error_code,
      attempts: event.attempts?.length ?? 0,
      firstByteMs: event.first_byte_at && event.first_byte_at - event.started_at,
      usageSource: event.usage_source,
      reasoningTokens: event.reasoning_tokens,
    }),
  });

  const answered = parsed(event.response_body);
  const tokensUsage = defined({
    prompt: event.input_tokens,
    completion: event.output_tokens,
    promptCached: event.cached_input_tokens,
  });
  if (event.status < 400) {
    monitor.trackEvent(type, "end", {
      runId,
      timestamp: event.ended_at,
      name,
      runtime,
      output: type === "embed" ? undefined : (answered?.choices?.[0]?.message ?? event.response_body),
      tokensUsage: Object.keys(tokensUsage).length > 0 ? tokensUsage : undefined,
    });
  }
  if (failed) {
    const message = event.error_code ?? (event.status >= 400 ? `HTTP ${event.status}` : event.completion);
    const body = event.status >= 400 ? event.response_body : undefined;
    monitor.trackEvent(type, "error", {
      runId,
      timestamp: event.ended_at,
      runtime,
      error: { message: body ? `${message}: ${body}` : message },
    });
  }
}

/** The SDK around a client that answers what it is told. */
function client(answer) {
  const create = async () => answer();
  return monitorOpenAI({ chat: { completions: { create } } }).chat.completions;
}

// The SDK takes out what is not the provider's.
const asked = () => ({
  ...watched.request,
  user: "token",
  userProps: { name: "Token" },
  tags: ["project"],
  metadata: { team: "doors" },
});
const upstreamError = () => Object.assign(new Error("429 Rate limit reached"), { status: 429 });
async function* stream(count) {
  yield* watched.chunks.slice(0, count);
  if (count < watched.chunks.length) throw new Error("the stream broke off");
}
async function drain(answer) {
  for await (const _ of await answer);
}
const embed = lunary.wrap("embed", async (request) => ({ ...watched.embedded, request }), {
  nameParser: (request) => request.model,
  inputParser: (request) => request.input,
  outputParser: (answer) => answer.data[0].embedding,
  tokensUsageParser: async (answer) => ({ prompt: answer.usage.prompt_tokens, completion: 0 }),
});

const watching = {
  success: () => client(() => watched.answer).create(asked()),
  streamed: () => drain(client(() => stream(Infinity)).create({ ...asked(), stream: true })),
  failed_429: () => client(() => Promise.reject(upstreamError())).create(asked()).catch(() => {}),
  // It tells no end of this.
  truncated: () => drain(client(() => stream(2)).create({ ...asked(), stream: true })).catch(() => {}),
  embedding: () => embed({ model: "text-embedding-3-small", input: "door" }),
};

export default async function capture(server) {
  const options = { publicKey: KEY, apiUrl: server.url };
  const from_events = {};
  for (const [name, event] of Object.entries(events)) {
    const monitor = new Monitor();
    monitor.init(options);
    report(monitor, event);
    await monitor.flush();
    from_events[name] = { event, calls: server.take() };
  }

  // All in one call: what a sink should send of a batch.
  const monitor = new Monitor();
  monitor.init(options);
  for (const event of [events.success, events.failed_429, events.truncated]) report(monitor, event);
  await monitor.flush();
  const batch = { events: ["success", "failed_429", "truncated"], calls: server.take() };

  // Past the SDK's own mark it sends at once, and what came meanwhile in the next call.
  const many = new Monitor();
  many.init(options);
  for (let count = 0; count < 22; count += 1) report(many, events.success);
  await server.until(2);
  const split = { events_reported: 44, events_in_each_call: server.take().map((call) => call.body.events.length) };

  lunary.init(options);
  const from_watching = {};
  for (const [name, act] of Object.entries(watching)) {
    await act();
    // Its stream's end is not awaited, nor is a call under way by `flush`.
    await server.quiet();
    await lunary.flush();
    await server.quiet();
    from_watching[name] = { calls: server.take() };
  }
  return { secrets: [KEY], from_events, batch, split, from_watching };
}
