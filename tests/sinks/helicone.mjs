// What Helicone's SDK sends: for Latchkey's events, and where it watches a call itself.
import helpers from "@helicone/helpers";
import { events, watched } from "./events.mjs";
import { defined, parsed } from "./json.mjs";

const { HeliconeManualLogger } = helpers;
const KEY = "sk-helicone-example";

/** Helicone replaces an id that is not of version 1 to 5 by a random one. */
const asVersion4 = (id) => `${id.slice(0, 14)}4${id.slice(15)}`;

/** The form of OpenAI's, which it reads for every provider under `custom`. */
function usageOf(event) {
  const { input_tokens: input, output_tokens: output, cached_input_tokens: cached } = event;
  if (input === undefined && output === undefined) return undefined;
  return defined({
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: (input ?? 0) + (output ?? 0),
    prompt_tokens_details: cached === undefined ? undefined : { cached_tokens: cached },
  });
}

function statusOf(event) {
  switch (event.completion) {
    case "aborted":
      return -3;
    case "truncated":
      return 500;
    default:
      return event.status;
  }
}

/** The stream's text, with a last chunk that tells the tokens, if none does. */
function withUsage(text, model, usage) {
  if (usage === undefined || text.includes('"usage":{')) return text;
  const done = "data: [DONE]\n\n";
  const isDone = text.endsWith(done);
  const chunks = isDone ? text.slice(0, -done.length) : text;
  const gap = chunks === "" || chunks.endsWith("\n\n") ? "" : "\n\n";
  const last = JSON.stringify({ model, choices: [], usage });
  return `${chunks}${gap}data: ${last}\n\n${isDone ? done : ""}`;
}

/** The mapping that a sink has to make: one event of ours, one call. */
async function report(logger, event) {
  const model = event.model ?? event.model_requested;
  const usage = usageOf(event);
  const asked = parsed(event.request_body);
  const answered = parsed(event.response_body);
  const isStream = asked?.stream === true && event.response_body !== undefined;
  // Of streams it surely reads the tokens of this form only.
  const asText = isStream && event.endpoint.endsWith("/completions");

  const request = {
    ...(asked ?? defined({ body: event.request_body })),
    model: event.model_requested,
    stream: asText || undefined,
  };
  let response;
  if (asText) {
    response = withUsage(event.response_body, model, usage);
  } else {
    const failed = event.completion !== "complete" || event.status >= 400;
    const message = event.error_code ?? (event.status >= 400 ? `HTTP ${event.status}` : event.completion);
    const error = failed && !answered ? { message } : undefined;
    const body = answered ? undefined : event.response_body;
    response = { ...answered, ...defined({ body, error, model: event.model, usage }) };
  }

  const told = defined({
    "Event-Id": event.id,
    Project: event.project_id,
    Provider: event.provider,
    Endpoint: event.endpoint,
    Completion: event.completion,
    "Error-Code": event.error_code,
    "Usage-Source": event.usage_source,
    "Reasoning-Tokens": event.reasoning_tokens,
  });
  const properties = Object.entries(told).map(([name, value]) => [`Helicone-Property-${name}`, String(value)]);
  await logger.sendLog(request, response, {
    startTime: event.started_at,
    endTime: event.ended_at,
    timeToFirstToken: event.first_byte_at && event.first_byte_at - event.started_at,
    status: statusOf(event),
    provider: event.provider === "openai" ? "openai" : undefined,
    additionalHeaders: {
      "Helicone-Request-Id": asVersion4(event.id),
      "Helicone-User-Id": event.token_id,
      ...Object.fromEntries(properties),
    },
  });
}

async function* stream(count) {
  yield* watched.chunks.slice(0, count);
  if (count < watched.chunks.length) throw new Error("the stream broke off");
}

const told = { "Helicone-User-Id": "token", "Helicone-Property-Project": "project" };
const chat = watched.request;
const streaming = { ...chat, stream: true };
const answerOf = (answer) => async (recorder) => recorder.appendResults(answer);

const watching = {
  success: (logger) => logger.logRequest(chat, answerOf(watched.answer), told, "openai"),
  success_anthropic: (logger) => logger.logRequest(chat, answerOf(watched.answer), told, "anthropic"),
  success_google: (logger) => logger.logRequest(chat, answerOf(watched.answer), told, "google"),
  success_other: (logger) => logger.logRequest(chat, answerOf(watched.answer), told, "mistral"),
  streamed: async (logger) => {
    const log = logger.logBuilder(streaming, told);
    await log.attachStream(stream(Infinity));
    await log.sendLog();
  },
  // `logRequest` reports nothing of an operation that throws; this is what its builder does.
  failed_429: async (logger) => {
    const log = logger.logBuilder(chat, told);
    log.setError(new Error("429 Rate limit reached"));
    await log.sendLog();
  },
  truncated: async (logger) => {
    const log = logger.logBuilder(streaming, told);
    await log.attachStream(stream(2)).catch(() => {});
    await log.sendLog();
  },
  aborted: async (logger) => {
    const log = logger.logBuilder(streaming, told);
    const reader = log.toReadableStream(stream(Infinity)).getReader();
    await reader.read();
    await reader.cancel();
    await log.sendLog();
  },
  embedding: (logger) =>
    logger.logRequest({ model: "text-embedding-3-small", input: "door" }, answerOf(watched.embedded), told, "openai"),
};

export default async function capture(server) {
  const logger = new HeliconeManualLogger({ apiKey: KEY, loggingEndpoint: `${server.url}/custom/v1/log` });
  const from_events = {};
  for (const [name, event] of Object.entries(events)) {
    await report(logger, event);
    from_events[name] = { event, calls: server.take() };
  }
  const from_watching = {};
  for (const [name, act] of Object.entries(watching)) {
    await act(logger);
    from_watching[name] = { calls: server.take() };
  }
  return { secrets: [KEY], from_events, from_watching };
}
