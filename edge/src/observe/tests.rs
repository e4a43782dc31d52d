use super::*;
use proptest::prelude::*;
use serde_json::Value;

/// After the providers' documentation, by hand.
const CHAT: &str = include_str!("captures/openai-chat.sse");
const RESPONSES: &str = include_str!("captures/openai-responses.sse");
const MESSAGES: &str = include_str!("captures/anthropic.sse");
const GEMINI: &str = include_str!("captures/gemini.sse");
const GEMINI_ARRAY: &str = include_str!("captures/gemini-array.json");
const OPENROUTER: &str = include_str!("captures/openrouter.sse");
const COHERE: &str = include_str!("captures/cohere.sse");

const SSE: &str = "text/event-stream; charset=utf-8";
const JSON: &str = "application/json";

/// A body and where it comes from.
#[derive(Clone, Copy, Debug)]
struct Answer<'a> {
    api: Api,
    endpoint: &'a str,
    content_type: &'a str,
    body: &'a str,
}

const STREAMS: [Answer<'_>; 6] = [
    answer(Api::OpenAi, "/v1/chat/completions", SSE, CHAT),
    answer(Api::OpenAi, "/v1/responses", SSE, RESPONSES),
    answer(Api::Anthropic, "/v1/messages", SSE, MESSAGES),
    answer(Api::Gemini, "/v1beta/models/g:streamGenerateContent", "text/event-stream", GEMINI),
    answer(Api::Gemini, "/v1beta/models/g:streamGenerateContent", JSON, GEMINI_ARRAY),
    answer(Api::OpenAi, "/v2/chat", SSE, COHERE),
];

const fn answer<'a>(api: Api, endpoint: &'a str, content_type: &'a str, body: &'a str) -> Answer<'a> {
    Answer { api, endpoint, content_type, body }
}

fn chat(body: &str) -> Answer<'_> {
    answer(Api::OpenAi, "/v1/chat/completions", SSE, body)
}

impl Answer<'_> {
    fn observer(&self) -> Observer {
        Observer::new(self.api, self.endpoint, 200, self.content_type)
    }

    fn observe(&self, end: End) -> Observed {
        let mut reader = self.observer();
        reader.feed(self.body.as_bytes());
        reader.end(end)
    }

    fn cut(&self, length: usize) -> Self {
        Self { body: &self.body[..length], ..*self }
    }
}

fn usage(input: u64, output: u64, cached: Option<u64>, reasoning: Option<u64>) -> Usage {
    Usage {
        input_tokens: Some(input),
        output_tokens: Some(output),
        cached_input_tokens: cached,
        reasoning_tokens: reasoning,
    }
}

#[test]
fn what_each_provider_says_at_the_end_of_its_stream() {
    let expected = [
        (Some("gpt-4o-2024-08-06"), usage(2006, 300, Some(1920), Some(192)), 20),
        (Some("gpt-4o-2024-08-06"), usage(37, 11, Some(5), Some(2)), 2),
        (Some("claude-sonnet-4-5-20250929"), usage(1125, 15, Some(1000), None), 12),
        (Some("gemini-2.5-flash"), usage(8, 30, Some(3), Some(21)), 18),
        (Some("gemini-2.5-flash"), usage(12, 30, None, Some(21)), 12),
        (None, usage(3, 9, None, None), 5),
    ];
    for (stream, (model, usage, text_bytes)) in STREAMS.iter().zip(expected) {
        let mut reader = stream.observer();
        assert!(reader.is_stream());
        reader.feed(stream.body.as_bytes());
        assert!(reader.is_stream() && reader.has_ended(), "{}", stream.endpoint);
        let observed = reader.end(End::Clean);
        assert_eq!(
            observed,
            Observed {
                model: model.map(str::to_owned),
                usage,
                usage_source: UsageSource::Reported,
                text_bytes: Some(text_bytes),
                completion: Completion::Complete,
                error_code: None,
                error_frame: None,
                must_abort: false,
            }
        );
        // At its end nothing can go wrong with it any more.
        for end in [End::Cut, End::Stalled, End::Overran, End::ClientLeft] {
            assert_eq!(stream.observe(end), observed, "{} {end:?}", stream.endpoint);
        }
    }
}

#[test]
fn plain_answers() {
    let cases = [
        (
            Api::OpenAi,
            "/v1/chat/completions",
            r#"{"id":"c","model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"{\"usage\":{}}"},
                "finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,
                "prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":7}}}"#,
            "gpt-4o",
            usage(19, 10, Some(4), Some(7)),
        ),
        (
            Api::OpenAi,
            "/v1/embeddings",
            r#"{"object":"list","data":[{"object":"embedding","embedding":[0.0023,-0.0093e-5],"index":0}],
                "model":"text-embedding-3-small","usage":{"prompt_tokens":8,"total_tokens":8}}"#,
            "text-embedding-3-small",
            Usage { input_tokens: Some(8), ..Usage::default() },
        ),
        (
            Api::OpenAi,
            "/v1/responses",
            r#"{"id":"resp_1","model":"gpt-4.1","status":"completed","usage":{"input_tokens":36,"output_tokens":87,
                "input_tokens_details":{"cached_tokens":0},"output_tokens_details":{"reasoning_tokens":0}}}"#,
            "gpt-4.1",
            usage(36, 87, Some(0), Some(0)),
        ),
        (
            Api::Anthropic,
            "/v1/messages",
            r#"{"id":"msg_1","type":"message","model":"claude-opus-4-1","content":[{"type":"text","text":"Hi"}],
                "stop_reason":"end_turn","usage":{"input_tokens":10,"cache_creation_input_tokens":2,
                "cache_read_input_tokens":3,"output_tokens":25}}"#,
            "claude-opus-4-1",
            usage(15, 25, Some(3), None),
        ),
        (
            Api::Gemini,
            "/v1beta/models/gemini:generateContent",
            r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}],"modelVersion":"gemini-2.5-pro",
                "usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":5,"thoughtsTokenCount":6}}"#,
            "gemini-2.5-pro",
            usage(4, 11, None, Some(6)),
        ),
    ];
    for (api, endpoint, body, model, usage) in cases {
        let answer = answer(api, endpoint, JSON, body);
        assert!(!answer.observer().is_stream());
        let observed = answer.observe(End::Clean);
        assert_eq!((observed.model.as_deref(), observed.usage), (Some(model), usage), "{endpoint}");
        assert_eq!(observed.completion, Completion::Complete);
        // Shorter than it said, however whole it looks; and in the middle, however HTTP sees it.
        for observed in [answer.observe(End::Cut), answer.cut(body.len() - 1).observe(End::Clean)] {
            assert_eq!(observed.completion, Completion::Truncated);
            assert_eq!(observed.error_code, Some("upstream_error"));
            assert!(observed.must_abort && observed.error_frame.is_none());
        }
        for end in [End::Stalled, End::Overran] {
            let observed = answer.observe(end);
            assert_eq!((observed.completion, observed.must_abort), (Completion::Truncated, true));
            assert_eq!(observed.error_code, Some("upstream_timeout"));
        }
        assert_eq!(answer.cut(40).observe(End::ClientLeft).completion, Completion::Aborted);
        assert_eq!(answer.cut(40).observe(End::Stalled).error_code, Some("upstream_timeout"));
    }
}

#[test]
fn a_clean_end_after_a_finish_reason_is_complete_without_done() {
    let finished = CHAT.find("data: {\"id\":\"chatcmpl-9nQ\",\"object\":\"chat.completion.chunk\",\"created\":1721075653,\"model\":\"gpt-4o-2024-08-06\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_18cc0f1fa0\",\"choices\":[],").unwrap();
    let stream = chat(&CHAT[..finished]);
    assert_eq!(stream.observe(End::Clean).completion, Completion::Complete);
    assert_eq!(stream.observe(End::Cut).completion, Completion::Truncated);
    assert_eq!(stream.observe(End::ClientLeft).completion, Completion::Aborted);
    let mut reader = stream.observer();
    reader.feed(stream.body.as_bytes());
    assert!(!reader.has_ended());
    // Nor is it, where one of two choices has none, a frame is broken, or one has begun.
    let choice = |index, finish| {
        format!("data: {{\"choices\":[{{\"finish_reason\":{finish},\"index\":{index}}}]}}\n\n")
    };
    let two = [choice(0, "\"stop\""), choice(1, "null")].concat();
    assert_eq!(chat(&two).observe(End::Clean).completion, Completion::Truncated);
    let both = format!("{two}{}", choice(1, "\"length\""));
    assert_eq!(chat(&both).observe(End::Clean).completion, Completion::Complete);
    for more in ["data: {\"choices\":[}\n\n", "data: nonsense\n\n", "data: {\"cho", "data: [DON"] {
        assert_eq!(
            chat(&format!("{both}{more}")).observe(End::Clean).completion,
            Completion::Truncated,
            "{more}"
        );
    }
}

/// The stream with something after its first frame.
fn with_between(stream: &Answer<'_>, frame: &str) -> String {
    let body = stream.body.replace("\r\n", "\n");
    let (first, rest) = body.split_once("\n\n").unwrap();
    format!("{first}\n\n{frame}{rest}")
}

const MALFORMED: [&str; 9] = [
    "data: {\"choices\":[{\"delta\":{\"content\":\"x\n\n",
    "data: {\"choices\":[}\n\n",
    "data: nonsense\n\n",
    "data: {}{}\n\n",
    "data: {}\ndata: {}\n\n",
    "data: [DON\n\n",
    "data: \"x\r\n\r\n",
    "{\"choices\":[]}\n\n",
    "<html>\n\n",
];

#[test]
fn a_malformed_frame_is_an_error_at_the_end_whatever_follows() {
    for stream in STREAMS.iter().filter(|stream| stream.content_type != JSON) {
        for frame in MALFORMED {
            let body = with_between(stream, frame);
            let broken = Answer { body: &body, ..*stream };
            let reported = broken.observe(End::Clean);
            for end in [End::Clean, End::Cut, End::ClientLeft] {
                let observed = broken.observe(end);
                let what = format!("{} {frame} {end:?} {observed:?}", stream.endpoint);
                assert_eq!(observed.completion, Completion::Truncated, "{what}");
                assert_eq!(observed.error_code, Some("upstream_error"), "{what}");
                assert_eq!(observed.usage, stream.observe(End::Clean).usage, "{what}");
                assert_eq!(observed, reported, "{what}");
                let appended = observed.error_frame.expect(&what);
                assert!(appended.contains("malformed") && appended.ends_with("\n\n"), "{what}");
            }
            // Who can, ends it there.
            let mut reader = broken.observer();
            let mut strict = broken.observer();
            reader.feed(body.as_bytes());
            assert!(reader.is_malformed() && !reader.has_ended());
            let read = strict.feed_until_malformed(body.as_bytes()).unwrap();
            let (passed, rest) = body.split_at(read);
            assert!(passed.ends_with(['\r', '\n']) && passed.contains(frame.trim_end()), "{passed}");
            assert!(rest.len() > 100, "{rest}");
            let frame = strict.end(End::Cut).error_frame.unwrap();
            assert!(frame.contains("malformed"), "{frame}");
        }
    }
    let (array, broken) = (STREAMS[4], GEMINI_ARRAY.replacen("},", "},]", 1));
    let observed = Answer { body: &broken, ..array }.observe(End::Clean);
    assert!(observed.completion == Completion::Truncated && observed.must_abort);
}

#[test]
fn what_is_only_odd_is_not_malformed() {
    let deep = format!("data: {{\"x\":{}{}}}\n\n", "[".repeat(200), "]".repeat(200));
    let giant = format!("data: {{\"x\":\"{}\"}}\n\n", "x".repeat(1 << 20));
    for frame in [
        ": {\n\n",
        ":\n",
        "data\n\n",
        "data:\n\n",
        "data:   \n\n",
        "event: ping\n\n",
        "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        "event: unknown\ndata: {}\n\n",
        "event: message_from_the_future\ndata: {\"x\":[1,2]}\r\n\r\n",
        "id: {\nretry: 3\nfoo: {\nbar\n\n",
        "data: {\ndata:\ndata: }\n\n",
        "data: {\"x\":\"\u{fffd}\u{1f511}\t\"}\n\n",
        "data: 12\n\n",
        "data: null\n\n",
        &deep,
        &giant,
    ] {
        for stream in STREAMS.iter().filter(|stream| stream.content_type != JSON) {
            let body = with_between(stream, frame);
            let odd = Answer { body: &body, ..*stream };
            assert_eq!(odd.observe(End::Clean), stream.observe(End::Clean), "{} {frame}", stream.endpoint);
        }
    }
    // Anthropic's SDKs read no frames of names that they do not know.
    let body = with_between(&STREAMS[2], "event: ping\ndata: pong\n\n");
    let ping = Answer { body: &body, ..STREAMS[2] };
    assert_eq!(ping.observe(End::Clean), STREAMS[2].observe(End::Clean));
    let body = with_between(&STREAMS[2], "event: content_block_delta\ndata: pong\n\n");
    assert!(Answer { body: &body, ..STREAMS[2] }.observe(End::Clean).error_frame.is_some());
    // Nor does what comes after the end count.
    let body = format!("{CHAT}data: {{\n\n");
    assert_eq!(chat(&body).observe(End::Clean), chat(CHAT).observe(End::Clean));
    // How a stream of another kind is read is not known.
    let other = answer(Api::OpenAi, "/v1/audio/speech", SSE, "data: x\n\n{\n\n");
    assert_eq!(other.observe(End::Clean).completion, Completion::Complete);
}

#[test]
fn text_is_counted_without_its_form() {
    let chat_delta =
        |delta: &str| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{{delta}}}}}]}}\n\n");
    let stream = [
        chat_delta("\"role\":\"assistant\",\"content\":\"\""),
        chat_delta("\"content\":\"Zo\\u00eb\\n\""),
        chat_delta("\"content\":null,\"reasoning_content\":\"ab\""),
        chat_delta(
            "\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":\"}}]",
        ),
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"cut of".to_owned(),
    ]
    .concat();
    let observed = chat(&stream).observe(End::ClientLeft);
    assert_eq!((observed.completion, observed.text_bytes), (Completion::Aborted, Some(5 + 2 + 1 + 5 + 6)));
    for (api, endpoint, body, text) in [
        (
            Api::OpenAi,
            "/v1/chat/completions",
            r#"{"choices":[{"message":{"role":"assistant","content":"Hello","refusal":null}}]}"#,
            Some(5),
        ),
        (Api::OpenAi, "/v1/completions", r#"{"choices":[{"text":"Hello"}]}"#, Some(5)),
        (
            Api::OpenAi,
            "/v1/responses",
            r#"{"text":{"format":{}},"output":[{"content":[{"type":"output_text","text":"Hi"}]},{"arguments":"{}"}]}"#,
            Some(4),
        ),
        (
            Api::OpenAi,
            "/v2/chat",
            r#"{"message":{"role":"assistant","content":[{"type":"text","text":"Hi"}]}}"#,
            Some(2),
        ),
        (Api::OpenAi, "/v1/embeddings", r#"{"data":[{"embedding":[0.1]}],"model":"m"}"#, None),
        (
            Api::Anthropic,
            "/v1/messages",
            r#"{"content":[{"type":"text","text":"Hi"},{"type":"tool_use","name":"f","input":{"a":{}}}]}"#,
            Some(2 + 1 + 8),
        ),
        (
            Api::Gemini,
            "/v1beta/models/g:generateContent",
            r#"{"candidates":[{"content":{"parts":[{"text":"Hi"},{"functionCall":{"name":"f","args":{"a":1}}}]}}]}"#,
            Some(2 + 1 + 7),
        ),
        (
            Api::Gemini,
            "/v1beta/models/g:streamGenerateContent",
            r#"[{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":1}}}]}}]}]"#,
            Some(8),
        ),
    ] {
        assert_eq!(answer(api, endpoint, JSON, body).observe(End::Clean).text_bytes, text, "{endpoint}");
    }
    let long = format!("{{\"choices\":[{{\"message\":{{\"content\":\"{}", "x".repeat(100_000));
    assert_eq!(
        answer(Api::OpenAi, "/v1/chat/completions", JSON, &long).observe(End::ClientLeft).text_bytes,
        Some(100_000)
    );
}

#[test]
fn errors_that_the_provider_told_are_told_once() {
    let responses = "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"model\":\"m\",\"status\":\
        \"failed\",\"error\":{\"code\":\"server_error\"},\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
    let cases = [
        answer(Api::OpenAi, "/v1/chat/completions", SSE, OPENROUTER),
        chat("data: {\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\"}}\n\n"),
        chat("event: error\ndata: {\"message\":\"odd\"}\n\n"),
        answer(Api::OpenAi, "/v1/responses", SSE, responses),
        answer(Api::OpenAi, "/v1/threads/t/runs", SSE, "data: {\"error\":{}}\n\n"),
        answer(
            Api::Anthropic,
            "/v1/messages",
            SSE,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
        ),
        answer(
            Api::Gemini,
            "/v1beta/models/g:streamGenerateContent",
            SSE,
            "data: {\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\"}}\r\n\r\n",
        ),
        answer(
            Api::Gemini,
            "/v1beta/models/g:streamGenerateContent",
            JSON,
            "[{\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\"}}]",
        ),
    ];
    for case in cases {
        for end in [End::Clean, End::Cut, End::ClientLeft] {
            let observed = case.observe(end);
            assert_eq!(observed.completion, Completion::Truncated, "{case:?}");
            assert_eq!(observed.error_code, Some("upstream_error"));
            assert_eq!((observed.error_frame, observed.must_abort), (None, false));
        }
    }
    assert_eq!(
        answer(Api::OpenAi, "/v1/responses", SSE, responses).observe(End::Clean).usage.input_tokens,
        Some(3)
    );
}

#[test]
fn an_error_with_its_own_status_is_an_answer() {
    for (content_type, body) in [
        (JSON, "{\"error\":{\"message\":\"x\"}}"),
        (JSON, "[{\"error\":{}}]"),
        (SSE, "data: {\"error\":{}}\n\n"),
        ("text/html", "<p>"),
        (JSON, ""),
    ] {
        for endpoint in ["/v1/chat/completions", "/v1beta/models/g:streamGenerateContent"] {
            let api = if endpoint.contains("beta") { Api::Gemini } else { Api::OpenAi };
            let mut reader = Observer::new(api, endpoint, 429, content_type);
            reader.feed(body.as_bytes());
            let observed = reader.end(End::Clean);
            assert_eq!(observed.completion, Completion::Complete, "{endpoint} {body}");
            assert_eq!(observed.error_frame, None);
        }
    }
}

#[test]
fn streams_whose_end_is_not_known_end_as_http_says() {
    let speech = answer(Api::OpenAi, "/v1/audio/speech", SSE, "data: {\"type\":\"speech.audio.delta\"}\n\n");
    assert_eq!(speech.observe(End::Clean).completion, Completion::Complete);
    assert_eq!(speech.observe(End::Cut).completion, Completion::Truncated);
    let audio = answer(Api::OpenAi, "/v1/audio/speech", "audio/mpeg", "{\"usage\":{\"prompt_tokens\":1}}");
    let observed = audio.observe(End::Clean);
    assert_eq!((observed.completion, observed.usage_source), (Completion::Complete, UsageSource::None));
    assert!(audio.observe(End::Cut).must_abort);
}

#[test]
fn content_goes_before_its_type() {
    for content_type in ["application/json", "text/plain", ""] {
        let stream = answer(Api::OpenAi, "/v1/chat/completions", content_type, CHAT);
        let mut reader = stream.observer();
        assert!(!reader.is_stream());
        reader.feed(CHAT.as_bytes());
        assert!(reader.is_stream() && reader.has_ended());
        assert_eq!(reader.end(End::Clean), chat(CHAT).observe(End::Clean));
    }
    let plain = chat("{\"model\":\"m\",\"usage\":{\"prompt_tokens\":1}}");
    let observed = plain.observe(End::Clean);
    assert_eq!((observed.completion, observed.usage.input_tokens), (Completion::Complete, Some(1)));
    // Compressed in spite of `identity`: nothing can be said of it, nor written into it.
    let mut reader = Observer::new(Api::OpenAi, "/v1/chat/completions", 200, SSE);
    reader.feed(&[0x1f, 0x8b, 8, 0, 0]);
    assert_eq!(reader.end(End::Clean).completion, Completion::Complete);
    let gemini = Answer { content_type: JSON, ..STREAMS[3] };
    assert_eq!(gemini.observe(End::Clean), STREAMS[3].observe(End::Clean));
}

#[test]
fn line_ends_comments_and_marks_of_every_kind() {
    let expected = chat(CHAT).observe(End::Clean);
    let commented = format!(": hello\n\nretry: 10\nid: 7\n\n{}", CHAT.replace("data: ", ": x\nid: 8\ndata:"));
    for body in [
        CHAT.replace('\n', "\r\n"),
        CHAT.replace('\n', "\r"),
        format!("\u{feff}{CHAT}"),
        commented,
        CHAT.replace(",\"choices\"", ",\ndata: \"choices\""),
        format!("{CHAT}: more\n\n"),
        CHAT.trim_end().to_owned(),
        CHAT.replace("data: [DONE]", "data:   [DONE] "),
    ] {
        assert_eq!(chat(&body).observe(End::Clean), expected, "{body}");
    }
    assert_eq!(chat("").observe(End::Clean).completion, Completion::Truncated);
    assert_eq!(chat(": only\n\n").observe(End::Clean).completion, Completion::Truncated);
}

/// What a reader makes of a stream: the data of each frame that it is shown, and
/// which frames are named errors.
fn read_events(body: &str) -> Vec<(bool, String)> {
    let body = body.replace("\r\n", "\n").replace('\r', "\n");
    let (mut frames, mut data, mut is_error) = (Vec::new(), Vec::new(), false);
    for line in body.split('\n') {
        if line.is_empty() {
            if !data.is_empty() {
                frames.push((is_error, data.join("\n")));
            }
            data.clear();
            is_error = false;
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push(value.strip_prefix(' ').unwrap_or(value).to_owned());
        } else if let Some(value) = line.strip_prefix("event:") {
            is_error = value.trim() == "error";
        }
    }
    assert!(data.is_empty(), "the last frame ends");
    frames
}

/// Cut anywhere, what follows makes a stream of which every frame is JSON, whose
/// last one is the error, and which shows no text that the whole would not show.
#[test]
fn a_stream_cut_anywhere_ends_in_a_clear_error() {
    for stream in STREAMS {
        for newline in ["\n", "\r\n", "\r"] {
            if stream.content_type == JSON && newline != "\n" {
                continue;
            }
            let body = stream.body.replace("\r\n", "\n").replace('\n', newline);
            let stream = Answer { body: &body, ..stream };
            for length in (0..body.len()).filter(|&length| body.is_char_boundary(length)) {
                let observed = stream.cut(length).observe(End::Cut);
                if observed.completion == Completion::Complete {
                    continue;
                }
                let what = format!("{} {length} {:?}", stream.endpoint, observed.error_frame);
                assert_eq!(observed.error_code, Some("upstream_error"), "{what}");
                let whole = format!("{}{}", &body[..length], observed.error_frame.expect(&what));
                if stream.content_type == JSON {
                    let elements: Vec<Value> = serde_json::from_str(&whole).expect(&what);
                    assert_eq!(elements.last().unwrap()["error"]["code"], 502, "{what}");
                    continue;
                }
                let frames = read_events(&whole);
                let is_named = matches!(stream.endpoint, "/v1/messages" | "/v1/responses");
                let mut errors = 0;
                for (is_error, data) in &frames {
                    if data.starts_with('[') {
                        continue;
                    }
                    let value: Value = serde_json::from_str(data).expect(&what);
                    let has_error = value["error"].is_object();
                    assert_eq!(has_error && is_named, *is_error, "{what}");
                    errors += usize::from(has_error);
                    if has_error {
                        assert!(value["choices"].as_array().is_none_or(Vec::is_empty), "{what}");
                        assert!(value["candidates"].as_array().is_none_or(Vec::is_empty), "{what}");
                        assert!(!is_named || value["type"] == "error", "{what}");
                        assert!(value["error"]["message"].as_str().unwrap().contains("broke"), "{what}");
                    }
                }
                assert!((1..=2).contains(&errors), "{what}");
                let (_, last) = frames.last().unwrap();
                assert!(
                    serde_json::from_str::<Value>(last).is_ok_and(|last| last["error"].is_object()),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn a_stall_says_that_it_was_one() {
    let observed = chat("data: {\"choices\":[{\"delta\":{\"content\":\"Hel").observe(End::Stalled);
    assert_eq!(observed.error_code, Some("upstream_timeout"));
    let frame = observed.error_frame.unwrap();
    assert!(frame.starts_with("\"}}],\"choices\":[],\"error\":{"), "{frame}");
    assert!(frame.contains("upstream_timeout") && frame.contains("stalled"), "{frame}");
    let observed =
        STREAMS[1].cut(RESPONSES.find("event: response.output_text.delta").unwrap()).observe(End::Overran);
    let frame = observed.error_frame.unwrap();
    assert!(frame.starts_with("event: error\ndata: {"), "{frame}");
    assert!(frame.contains("\"sequence_number\":2"), "{frame}");
}

/// Google's SDK for Node knows the end of a frame by its pairs of newlines alone.
#[test]
fn half_a_blank_line_is_completed() {
    let frame = chat("data: {}\r\n\r").observe(End::Cut).error_frame.unwrap();
    assert!(frame.starts_with("\ndata: {\"error\""), "{frame}");
    let frame = chat("data: {}\r\n\r\n").observe(End::Cut).error_frame.unwrap();
    assert!(frame.starts_with("data: {\"error\""), "{frame}");
}

#[test]
fn a_truncated_message_reports_no_output() {
    let cut = STREAMS[2].cut(MESSAGES.find("event: message_delta").unwrap());
    let usage = cut.observe(End::Cut).usage;
    assert_eq!((usage.input_tokens, usage.output_tokens), (Some(1125), None));
}

#[test]
fn hostile_answers() {
    let deep = "[".repeat(100_000);
    let many = "data: {\"choices\":[{\"index\":99999999999999999999}]}\n\n".repeat(1_000);
    for body in [
        format!("data: {deep}\n\n"),
        format!("data: {{\"a\":{deep}"),
        many,
        "data: {\"usage\":{\"prompt_tokens\":1e999,\"completion_tokens\":-5}}\n\n".to_owned(),
        "data: {\"usage\":{\"prompt_tokens\":18446744073709551615,\"completion_tokens\":99999999999999999999999}}\n\n".to_owned(),
        "\0\0\0".to_owned(),
        "data: \0{\0}\n\n".to_owned(),
        ":".repeat(1_000_000),
        ": x\n".repeat(100_000),
        "\r\n".repeat(100_000),
        "data\n".repeat(100_000),
        "data: \"\\ud800\\ud800\\u12".to_owned(),
    ] {
        for stream in STREAMS {
            let observed = Answer { body: &body, ..stream }.observe(End::Clean);
            assert!(!observed.usage.is_known());
        }
    }
    let model = format!("data: {{\"model\":\"a\\u0000{}\"}}\n\n", "é".repeat(100_000));
    let model = chat(&model).observe(End::Clean).model.unwrap();
    assert!(
        model.len() <= shared::event::MAX_TEXT_LEN && model.starts_with("aé") && !model.contains('\0'),
        "{model}"
    );
}

/// The state is of one size, and what grows in it is bounded: the model's name.
#[test]
fn memory_is_bounded() {
    assert!(size_of::<Observer>() < 1_024, "{}", size_of::<Observer>());
    let mut reader = Observer::new(Api::OpenAi, "/v1/chat/completions", 200, SSE);
    reader.feed(b"data: {\"choices\":[{\"delta\":{\"content\":\"");
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..10 {
        reader.feed(&piece);
    }
    reader.feed(b"\"},\"finish_reason\":\"stop\"}],\"usage\":{\"completion_tokens\":7}}\n\n");
    let observed = reader.end(End::Clean);
    assert_eq!((observed.completion, observed.usage.output_tokens), (Completion::Complete, Some(7)));
}

/// With what providers put between, such as padding against who listens.
#[test]
fn most_of_a_stream_is_compared() {
    for (api, endpoint, frame) in [
        (
            Api::OpenAi,
            "/v1/chat/completions",
            r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":"WORD"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"WORDWORD"}"#,
        ),
        (
            Api::Anthropic,
            "/v1/messages",
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"WORD"}}"#,
        ),
    ] {
        let mut reader = Observer::new(api, endpoint, 200, SSE);
        for word in ["The", " door", " is", " not", " locked"] {
            reader.feed(format!("data: {}\n\n", frame.replace("WORD", word)).as_bytes());
        }
        assert!(reader.body.reader.repeat.has_repeated(), "{endpoint}");
        assert_eq!(reader.end(End::ClientLeft).text_bytes, Some(22), "{endpoint}");
    }
}

/// In whatever form it comes.
#[test]
fn what_was_said_between_two_frames_that_are_alike_is_not_kept() {
    let frame = |model| format!(r#"{{"model":"{model}","choices":[{{"delta":{{"content":"so"}}}}]}}"#);
    for between in ["data: ", "data:  ", "data:", "data: \ndata: "] {
        let data = |start, model| format!("{start}{}\n\n", frame(model));
        let body =
            [data("data: ", "m-1"), data("data: ", "m-1"), data(between, "m-2"), data("data: ", "m-1")];
        let observed = chat(&body.concat()).observe(End::ClientLeft);
        assert_eq!((observed.model.as_deref(), observed.text_bytes), (Some("m-1"), Some(8)), "{between:?}");
    }
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Clean),
        Just(End::Cut),
        Just(End::Stalled),
        Just(End::Overran),
        Just(End::ClientLeft)
    ]
}

/// Frames that are much alike, as those of a stream are, and some that are not.
fn frames() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => "[a-z ]{0,12}",
        1 => Just("\\n".to_owned()),
        1 => Just("ü\\u00fc\\\"".to_owned()),
        1 => Just("\"".to_owned()),
    ];
    let model = prop_oneof![3 => Just("m-1"), 1 => Just("m-2")];
    let finish = prop_oneof![9 => Just("null"), 1 => Just("\"stop\"")];
    let usage = prop_oneof![9 => Just(String::new()), 1 => (0..100_u8).prop_map(|count| format!(
        r#","usage":{{"completion_tokens":{count},"output_tokens":{count}}}"#
    ))];
    let start = prop_oneof![6 => Just("data: "), 1 => Just("data:  "), 1 => Just("data: {}\ndata: ")];
    let end = prop_oneof![19 => Just("\n\n"), 1 => Just("\n"), 1 => Just(" {}\n\n")];
    let kind = prop_oneof![
        9 => Just("content_block_delta"), 1 => Just("message_stop"), 1 => Just("error"), 1 => Just("ping")
    ];
    let index = prop_oneof![9 => Just(0), 1 => Just(1)];
    (any::<bool>(), word.clone(), word, model, finish, usage, start, end, kind, index).prop_map(
        |(is_chat, text, other, model, finish, usage, start, end, kind, index)| {
            let frame = if is_chat {
                format!(
                    r#"{{"id":"{other}","model":"{model}","choices":[{{"index":{index},"delta":{{"content":"{text}"}},"finish_reason":{finish}}}],"obfuscation":"{other}"{usage}}}"#
                )
            } else {
                format!(
                    r#"{{"type":"{kind}","index":{index},"delta":{{"type":"text_delta","text":"{text}","input":{{"{other}":1}}}}{usage}}}"#
                )
            };
            format!("{start}{frame}{end}")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What comes in small pieces is always read; else only what is not like the one before.
    #[test]
    fn frames_that_are_alike_give_what_reading_gives(
        frames in prop::collection::vec((frames(), 1..4_usize), 0..40),
        at in 0..STREAMS.len(),
        size in 1_usize..6,
        end in ends(),
    ) {
        let body: String = frames.iter().map(|(frame, times)| frame.repeat(*times)).collect();
        let mut compared = STREAMS[at].observer();
        compared.feed(body.as_bytes());
        let mut read = STREAMS[at].observer();
        body.as_bytes().chunks(size).for_each(|piece| read.feed(piece));
        prop_assert_eq!(compared.has_ended(), read.has_ended());
        prop_assert_eq!(compared.is_malformed(), read.is_malformed());
        prop_assert_eq!(compared.end(end), read.end(end));
    }

    #[test]
    fn any_split_gives_the_same(
        at in 0..STREAMS.len(),
        length in any::<prop::sample::Index>(),
        sizes in prop::collection::vec(1_usize..80, 1..12),
        newline in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        end in ends(),
    ) {
        let body = STREAMS[at].body.replace("\r\n", "\n").replace('\n', newline);
        let body = &body.as_bytes()[..length.index(body.len() + 1)];
        let mut whole = STREAMS[at].observer();
        whole.feed(body);
        let mut split = STREAMS[at].observer();
        let mut rest = body;
        for size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            split.feed(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(whole.has_ended(), split.has_ended());
        prop_assert_eq!(whole.is_stream(), split.is_stream());
        prop_assert_eq!(whole.end(end), split.end(end));
    }

    #[test]
    fn any_bytes_in_any_split_give_the_same(
        body in prop::collection::vec(
            prop_oneof![
                Just(b"data: ".to_vec()), Just(b"\n".to_vec()), Just(b"\r".to_vec()), Just(b"event: error".to_vec()),
                Just(b"[DONE]".to_vec()), Just(b"{\"choices\":[{\"finish_reason\":\"stop\"}]}".to_vec()),
                Just(b"{\"usage\":{\"prompt_tokens\":".to_vec()), Just(b"12".to_vec()), Just(b"}}".to_vec()),
                Just(b"\"".to_vec()), Just(b"\\".to_vec()), Just(b"[".to_vec()), Just(b",".to_vec()),
                prop::collection::vec(any::<u8>(), 0..8),
            ],
            0..24,
        ),
        at in 0..STREAMS.len(),
        size in 1_usize..6,
        end in ends(),
    ) {
        let body = body.concat();
        let mut whole = STREAMS[at].observer();
        whole.feed(&body);
        let mut split = STREAMS[at].observer();
        body.chunks(size).for_each(|piece| split.feed(piece));
        prop_assert_eq!(whole.end(end), split.end(end));
    }
}

/// `cargo test --release -p edge --no-default-features observe::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
#[expect(clippy::disallowed_methods, reason = "it measures time")]
fn speed() {
    let frames: Vec<&str> = CHAT.split_inclusive("\n\n").collect();
    let (delta, tail) = (frames[1], frames[2..].concat());
    for (name, pieces) in [
        ("a piece each", vec![delta; 200]),
        ("64 KiB pieces", vec![Box::leak(delta.repeat(170).into_boxed_str()) as &str; 2]),
    ] {
        let rounds = 2_000_u32;
        let start = std::time::Instant::now();
        for _ in 0..rounds {
            let mut reader = chat("").observer();
            for piece in &pieces {
                reader.feed(piece.as_bytes());
            }
            reader.feed(tail.as_bytes());
            assert_eq!(reader.end(End::Clean).completion, Completion::Complete);
        }
        let taken = start.elapsed() / rounds;
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        let chunks = u32::try_from(bytes / delta.len()).unwrap();
        println!(
            "{name}: {taken:?} a stream of {chunks} chunks, {:?} a chunk of {} bytes, {} MB/s",
            taken / chunks,
            delta.len(),
            u128::try_from(bytes).unwrap() * 1_000 / taken.as_nanos()
        );
    }
}
