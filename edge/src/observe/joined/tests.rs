use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::event::Completion;
use shared::provider::Api;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Chat,
    Messages,
    Gemini,
}

impl Kind {
    fn observer(self) -> Observer {
        let (api, endpoint) = match self {
            Self::Chat => (Api::OpenAi, "/v1/chat/completions"),
            Self::Messages => (Api::Anthropic, "/v1/messages"),
            Self::Gemini => (Api::Gemini, "/v1beta/models/g:streamGenerateContent"),
        };
        Observer::new(api, endpoint, 200, "text/event-stream")
    }

    fn joined(self) -> Joined {
        let observer = self.observer();
        Joined::new(observer.joint().unwrap(), observer)
    }

    /// A whole stream with a frame for each of these.
    fn stream(self, id: &str, texts: &[&str], newline: &str) -> String {
        let mut frames = Vec::new();
        match self {
            Self::Chat => {
                let chunk = |delta: Value, finish: Value| json!({"id": id, "model": id, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
                frames.push(chunk(json!({"role": "assistant", "content": ""}), Value::Null).to_string());
                frames.extend(
                    texts.iter().map(|text| chunk(json!({"content": text}), Value::Null).to_string()),
                );
                frames.push(chunk(json!({}), json!("stop")).to_string());
                frames.push("[DONE]".to_owned());
            }
            Self::Messages => {
                let message = json!({"id": id, "model": id, "content": [], "usage": {"input_tokens": 7}});
                frames.push(json!({"type": "message_start", "message": message}).to_string());
                let block = json!({"type": "text", "text": ""});
                frames.push(
                    json!({"type": "content_block_start", "index": 0, "content_block": block}).to_string(),
                );
                frames.extend(texts.iter().map(|text| {
                    let delta = json!({"type": "text_delta", "text": text});
                    json!({"type": "content_block_delta", "index": 0, "delta": delta}).to_string()
                }));
                frames.push(json!({"type": "content_block_stop", "index": 0}).to_string());
                let usage = json!({"output_tokens": texts.len()});
                frames.push(json!({"type": "message_delta", "delta": {}, "usage": usage}).to_string());
                frames.push(json!({"type": "message_stop"}).to_string());
            }
            Self::Gemini => {
                let chunk = |text: &str, finish: Value| {
                    let content = json!({"role": "model", "parts": [{"text": text}]});
                    json!({"modelVersion": id, "candidates": [{"content": content, "finishReason": finish}]})
                };
                frames.extend(texts.iter().map(|text| chunk(text, Value::Null).to_string()));
                frames.push(chunk("", json!("STOP")).to_string());
            }
        }
        frames.into_iter().flat_map(|frame| ["data: ".to_owned(), frame, newline.repeat(2)]).collect()
    }
}

/// All text in a stream, and how many answers begin in it.
fn read(stream: &str) -> (String, usize) {
    let (mut text, mut openings) = (String::new(), 0);
    for line in stream.split(['\r', '\n']).filter_map(|line| line.strip_prefix("data: ")) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        for place in ["/choices/0/delta/content", "/delta/text", "/candidates/0/content/parts/0/text"] {
            text.push_str(event.pointer(place).and_then(Value::as_str).unwrap_or_default());
        }
        openings +=
            usize::from(event.pointer("/choices/0/delta/role").is_some() || event["type"] == "message_start");
    }
    (text, openings)
}

/// What passes of a stream that comes in pieces, and whether it goes on.
fn feed(joined: &mut Joined, stream: &str, size: usize, out: &mut Vec<u8>) -> bool {
    stream.as_bytes().chunks(size).all(|piece| joined.feed(piece, out))
}

fn whole(text: &str) -> Vec<&str> {
    text.split_inclusive(' ').collect()
}

const TEXT: &str = "Grüße, \"you\" and you \\ 😀 and all the others, once more.";

proptest! {
    #[test]
    fn what_is_joined_is_the_text_once(
        kind in prop_oneof![Just(Kind::Chat), Just(Kind::Messages), Just(Kind::Gemini)],
        newlines in (prop_oneof![Just("\n"), Just("\r\n")], prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]),
        cut in any::<prop::sample::Index>(),
        sizes in (1_usize..400, 1_usize..400),
        at in 0_usize..10,
        end in prop_oneof![Just(End::Cut), Just(End::Stalled), Just(End::Clean)],
    ) {
        let first = kind.stream("a", &whole(TEXT), newlines.0);
        let mut cut = cut.index(first.len());
        while !first.is_char_boundary(cut) { cut -= 1; }
        // Other words in a frame.
        let mut split = TEXT.len() * at / 10;
        while !TEXT.is_char_boundary(split) { split -= 1; }
        let second = kind.stream("b", &[&TEXT[..split], &TEXT[split..]], newlines.1);

        let (mut joined, mut out) = (kind.joined(), Vec::new());
        prop_assert!(feed(&mut joined, &first[..cut], sizes.0, &mut out));
        if !joined.broke(end) || !joined.may_go_on() {
            // The end was there, or almost.
            prop_assert!(read(&first[..cut]).0 == TEXT);
            return Ok(());
        }
        let passed = read(std::str::from_utf8(&out).unwrap());
        joined.goes_on_with(kind.observer(), end);
        prop_assert!(feed(&mut joined, &second, sizes.1, &mut out));
        let is_whole = !joined.broke(End::Clean);
        prop_assert!(is_whole);
        let (rest, observed) = joined.end(End::Clean);
        out.extend(rest);
        let (text, openings) = read(std::str::from_utf8(&out).unwrap());
        prop_assert_eq!(&text, TEXT);
        prop_assert!(openings <= 1 && passed.1 <= 1);
        prop_assert_eq!(observed.completion, Completion::Complete);
        prop_assert_eq!((observed.error_frame, observed.must_abort), (None, false));
        prop_assert_eq!(observed.model.as_deref(), Some("b"));
    }

    #[test]
    fn what_differs_is_not_joined(
        kind in prop_oneof![Just(Kind::Chat), Just(Kind::Messages), Just(Kind::Gemini)],
        word in 0_usize..5,
        sizes in (1_usize..400, 1_usize..400),
    ) {
        let words = whole(TEXT);
        let first = kind.stream("a", &words, "\n");
        let cut = first.find("others").unwrap();
        let mut others = words.clone();
        others[word] = "otherwise ";
        let second = kind.stream("b", &others, "\n");

        let (mut joined, mut out) = (kind.joined(), Vec::new());
        prop_assert!(feed(&mut joined, &first[..cut], sizes.0, &mut out));
        prop_assert!(joined.broke(End::Cut) && joined.may_go_on());
        let had = out.clone();
        joined.goes_on_with(kind.observer(), End::Cut);
        prop_assert!(!feed(&mut joined, &second, sizes.1, &mut out));
        prop_assert_eq!(&out, &had);
        // It was ended by us.
        prop_assert!(!joined.broke(End::Cut) && !joined.may_go_on());
        let (rest, observed) = joined.end(End::Cut);
        prop_assert_eq!(observed.completion, Completion::Truncated);
        prop_assert_eq!(observed.error_code, Some("upstream_error"));
        let frame = observed.error_frame.unwrap();
        prop_assert!(first.as_bytes()[..cut].ends_with(&rest) && frame.contains("error"));
    }
}

#[test]
fn who_breaks_off_again_is_gone_on_with_again() {
    let kind = Kind::Messages;
    let first = kind.stream("a", &whole(TEXT), "\n");
    let second = kind.stream("b", &whole(TEXT), "\n");
    let third = kind.stream("c", &[TEXT], "\n");
    let (mut joined, mut out) = (kind.joined(), Vec::new());
    feed(&mut joined, &first[..first.find("all ").unwrap()], 10, &mut out);
    assert!(joined.broke(End::Cut));
    // This one does not come as far as the client has it.
    joined.goes_on_with(kind.observer(), End::Cut);
    feed(&mut joined, &second[..second.find("and ").unwrap()], 10, &mut out);
    assert!(joined.broke(End::Stalled) && joined.may_go_on());
    // This one further.
    joined.goes_on_with(kind.observer(), End::Stalled);
    feed(&mut joined, &second[..second.find("once").unwrap()], 10, &mut out);
    assert!(joined.broke(End::Cut));
    let told = joined.goes_on_with(kind.observer(), End::Cut);
    assert_eq!(told.usage.input_tokens, Some(7));
    assert!(told.text_bytes > Some(30));
    feed(&mut joined, &third, 10, &mut out);
    assert!(!joined.broke(End::Clean));
    assert_eq!(read(std::str::from_utf8(&out).unwrap()), (TEXT.to_owned(), 1));
    assert_eq!(joined.end(End::Clean).1.usage.output_tokens, Some(1));
}

#[test]
fn an_error_in_the_middle_does_not_pass_unless_nobody_goes_on() {
    let kind = Kind::Chat;
    let stream = kind.stream("a", &whole(TEXT), "\n");
    let error = "data: {\"error\":{\"message\":\"overloaded\"}}\n\n";
    let cut = stream.match_indices("\n\n").nth(3).unwrap().0 + 2;
    let (mut joined, mut out) = (kind.joined(), Vec::new());
    assert!(!feed(&mut joined, &format!("{}{error}", &stream[..cut]), 64, &mut out));
    assert_eq!(out, &stream.as_bytes()[..cut]);
    assert!(joined.broke(End::Cut) && joined.may_go_on());
    assert_eq!(joined.failure(), Some(&b"{\"error\":{\"message\":\"overloaded\"}}"[..]));
    let (rest, observed) = joined.end(End::Cut);
    // The provider's own words are enough.
    assert_eq!((rest.as_slice(), observed.error_frame), (error.as_bytes(), None));
    assert_eq!(observed.completion, Completion::Truncated);
}

#[test]
fn a_frame_that_does_not_end_passes_as_it_comes() {
    let kind = Kind::Chat;
    let (mut joined, mut out) = (kind.joined(), Vec::new());
    let vast = kind.stream("a", &[&"x".repeat(3 << 20)], "\n");
    assert!(feed(&mut joined, &vast, 65_536, &mut out));
    assert!(!joined.broke(End::Clean) && !joined.may_go_on());
    let (rest, observed) = joined.end(End::Clean);
    out.extend(rest);
    assert!(out == vast.as_bytes());
    assert_eq!(observed.completion, Completion::Complete);
}

#[test]
fn an_end_without_its_blank_line_is_one() {
    let kind = Kind::Chat;
    let (mut joined, mut out) = (kind.joined(), Vec::new());
    let stream = kind.stream("a", &["Hi"], "\n");
    feed(&mut joined, stream.trim_end(), 20, &mut out);
    assert!(!joined.broke(End::Clean));
    let (rest, observed) = joined.end(End::Clean);
    out.extend(rest);
    assert_eq!((out.as_slice(), observed.completion), (stream.trim_end().as_bytes(), Completion::Complete));
}

/// Whatever follows it in the same piece.
#[test]
fn what_differs_at_its_end_is_no_end() {
    let kind = Kind::Chat;
    let first = kind.stream("a", &["Hello", " you"], "\n");
    let call = json!({"id": "b", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0}]}, "finish_reason": "tool_calls"}]});
    let second = kind.stream("b", &["Hello"], "\n");
    let second = second.split("data: {").take(3).collect::<Vec<_>>().join("data: {");
    for size in [1, 1 << 20] {
        let (mut joined, mut out) = (kind.joined(), Vec::new());
        feed(&mut joined, &first[..first.find(" you").unwrap()], size, &mut out);
        assert!(joined.broke(End::Cut));
        joined.goes_on_with(kind.observer(), End::Cut);
        let had = out.len();
        assert!(!feed(&mut joined, &format!("{second}data: {call}\n\ndata: [DONE]\n\n"), size, &mut out));
        assert!(!joined.broke(End::Cut) && !joined.may_go_on(), "it was not the provider that ended it");
        let (rest, observed) = joined.end(End::Cut);
        assert_eq!((observed.completion, out.len()), (Completion::Truncated, had));
        assert!(!String::from_utf8(rest).unwrap().contains("[DONE]"));
        assert!(observed.error_frame.is_some());
    }
}

#[test]
fn what_ends_amid_a_frame_ends_in_an_error_that_can_be_read() {
    let kind = Kind::Chat;
    let stream = kind.stream("a", &["Hello", " you"], "\n");
    for end in [End::Overran, End::Cut, End::Stalled] {
        for cut in 1..stream.find("\"stop\"").unwrap() {
            let (mut joined, mut out) = (kind.joined(), Vec::new());
            feed(&mut joined, &stream[..cut], 7, &mut out);
            let (rest, observed) = joined.end(end);
            out.extend(rest);
            out.extend(observed.error_frame.unwrap().into_bytes());
            let text = String::from_utf8(out).unwrap();
            let data: Vec<Value> = text
                .lines()
                .filter_map(|line| line.strip_prefix("data: "))
                .map(|data| serde_json::from_str(data).unwrap())
                .collect();
            assert!(data.last().unwrap()["error"].is_object(), "{text}");
        }
    }
}

#[test]
fn nothing_follows_a_malformed_frame() {
    let kind = Kind::Chat;
    let stream = kind.stream("a", &["Hello", " you"], "\n");
    let (before, after) =
        stream.split_at(stream.find("data: {\"choices\":[{\"delta\":{\"content\":\" you").unwrap());
    let stream = format!("{before}data: {{broken\n\n{after}");
    let (mut joined, mut out) = (kind.joined(), Vec::new());
    assert!(!feed(&mut joined, &stream, 1 << 20, &mut out));
    assert!(joined.broke(End::Cut));
    let (rest, _) = joined.end(End::Cut);
    assert_eq!(rest, b"data: {broken\n\n");
}
