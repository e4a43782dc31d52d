// Latchkey's own events (shared/src/event.rs) that the captures are made of.

const started = 1_795_444_000_000;

/** A UUIDv7 as `id::new` of `shared` makes it of a time and of ten times one byte. */
function id(ms, byte) {
  const bytes = Buffer.alloc(16, byte);
  bytes.writeUIntBE(ms, 0, 6);
  bytes[6] = 0x70 | (byte & 0x0f);
  bytes[8] = 0x80 | (byte & 0x3f);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function event(changes) {
  const { seq, status = 200, provider = "openai", endpoint = "/v1/chat/completions", ...rest } = changes;
  return {
    v: 1,
    id: id(started, seq),
    isolate_id: id(started - 997_000, 2),
    seq,
    started_at: started,
    first_byte_at: started + 100,
    ended_at: started + 900,
    project_id: id(1, 4),
    token_id: id(2, 5),
    provider,
    method: "POST",
    endpoint,
    model_requested: "gpt-4o",
    model: "gpt-4o-2024-08-06",
    status,
    attempts: [
      {
        provider,
        credential_id: id(1, 3),
        started_at: started + 1,
        ended_at: started + 100,
        status,
        outcome: "answered",
      },
    ],
    bytes_in: 120,
    bytes_out: 4096,
    usage_source: "none",
    completion: "complete",
    snapshot_version: started - 1000,
    colo: "FRA",
    country: "DE",
    ...rest,
  };
}

const messages = [
  { role: "system", content: "You are a doorman." },
  { role: "user", content: "Open, please" },
];
const request = { model: "gpt-4o", messages, temperature: 0.5, max_tokens: 64 };
const answer = {
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1_795_444_000,
  model: "gpt-4o-2024-08-06",
  choices: [
    { index: 0, message: { role: "assistant", content: "It is open." }, finish_reason: "stop" },
  ],
  usage: {
    prompt_tokens: 20,
    completion_tokens: 7,
    total_tokens: 27,
    prompt_tokens_details: { cached_tokens: 8 },
    completion_tokens_details: { reasoning_tokens: 3 },
  },
};
const usage = {
  input_tokens: 20,
  output_tokens: 7,
  cached_input_tokens: 8,
  reasoning_tokens: 3,
  usage_source: "reported",
};

const chunk = (delta, finish_reason = null) => ({
  id: "chatcmpl-1",
  object: "chat.completion.chunk",
  created: 1_795_444_000,
  model: "gpt-4o-2024-08-06",
  choices: [{ index: 0, delta, finish_reason }],
});
const chunks = [
  chunk({ role: "assistant", content: "" }),
  chunk({ content: "It is " }),
  chunk({ content: "open." }),
  chunk({}, "stop"),
];
const lines = (some) => some.map((each) => `data: ${JSON.stringify(each)}\n\n`).join("");

const limited = {
  error: {
    message: "Rate limit reached",
    type: "requests",
    param: null,
    code: "rate_limit_exceeded",
  },
};
const embedded = {
  object: "list",
  data: [{ object: "embedding", index: 0, embedding: [0.25, -0.5] }],
  model: "text-embedding-3-small",
  usage: { prompt_tokens: 2, total_tokens: 2 },
};

/** What the SDKs are given where they watch the call themselves. */
export const watched = { request, answer, chunks, limited, embedded };

const bodies = (sent, received) => ({
  request_body: JSON.stringify(sent),
  response_body: typeof received === "string" ? received : JSON.stringify(received),
});

const success = { text_bytes_out: 11, ...usage };
const failed = { status: 429, model: undefined, bytes_out: 100 };
const truncated = {
  text_bytes_out: 6,
  input_tokens: 20,
  output_tokens: 2,
  usage_source: "estimated",
  completion: "truncated",
  error_code: "upstream_error",
};
const embedding = {
  endpoint: "/v1/embeddings",
  model_requested: "text-embedding-3-small",
  model: "text-embedding-3-small",
  input_tokens: 2,
  usage_source: "reported",
};
const anthropic = {
  provider: "anthropic",
  endpoint: "/v1/messages",
  model_requested: "claude-sonnet-4-5",
  model: "claude-sonnet-4-5-20250929",
  ...success,
  reasoning_tokens: undefined,
};
const stream = { ...request, stream: true };

/** One of each kind, without and with the bodies that a project may have captured. */
export const events = {
  success: event({ seq: 1, ...success }),
  success_with_bodies: event({ seq: 2, ...success, ...bodies(request, answer) }),
  streamed: event({ seq: 3, ...success }),
  streamed_with_bodies: event({
    seq: 4,
    ...success,
    ...bodies(stream, `${lines(chunks)}data: [DONE]\n\n`),
  }),
  failed_429: event({ seq: 5, ...failed }),
  failed_429_with_bodies: event({ seq: 6, ...failed, ...bodies(request, limited) }),
  truncated: event({ seq: 7, ...truncated }),
  truncated_with_bodies: event({
    seq: 8,
    ...truncated,
    ...bodies(stream, lines(chunks.slice(0, 2))),
    response_body_cut: true,
  }),
  aborted: event({ seq: 9, ...truncated, completion: "aborted", error_code: undefined }),
  refused: event({
    seq: 10,
    status: 403,
    first_byte_at: undefined,
    model: undefined,
    attempts: undefined,
    bytes_out: 0,
    completion: "refused",
    error_code: "endpoint_not_allowed",
  }),
  embedding: event({ seq: 11, ...embedding }),
  embedding_with_bodies: event({
    seq: 12,
    ...embedding,
    ...bodies({ model: "text-embedding-3-small", input: "door" }, embedded),
  }),
  anthropic: event({ seq: 13, ...anthropic }),
  anthropic_streamed_with_bodies: event({
    seq: 14,
    ...anthropic,
    ...bodies(
      { model: "claude-sonnet-4-5", max_tokens: 64, stream: true, messages: messages.slice(1) },
      'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"It is open."}}\n\n',
    ),
    response_body_cut: true,
  }),
};
