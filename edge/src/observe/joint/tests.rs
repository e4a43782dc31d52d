use super::*;

fn joint(dialect: Dialect) -> Joint {
    Joint::of(dialect).unwrap()
}

fn chat(delta: &str) -> String {
    format!(
        "data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}]}}\n\n"
    )
}

fn text(text: &str) -> String {
    chat(&format!("{{\"content\":{}}}", serde_json::Value::from(text)))
}

/// What becomes of each frame, `P`ass, `D`rop, `I`nstead or differs (`!`), and of what passes.
fn compare(joint: &mut Joint, frames: &[&str]) -> (String, String) {
    let (mut verdicts, mut passed) = (String::new(), Vec::new());
    for frame in frames {
        let (verdict, rest) = match joint.frame(frame.as_bytes()) {
            Verdict::Pass => ('P', frame.as_bytes().to_vec()),
            Verdict::Drop => ('D', Vec::new()),
            Verdict::Instead(frame) => ('I', frame),
            Verdict::Differs => ('!', Vec::new()),
        };
        verdicts.push(verdict);
        passed.extend(rest);
    }
    (verdicts, String::from_utf8(passed).unwrap())
}

/// A stream of chat that the client has a part of, "Hello, you", with another to come.
fn begun() -> Joint {
    let mut joint = joint(Dialect::Chat);
    let frames = [chat("{\"role\":\"assistant\",\"content\":\"\"}"), text("Hello"), text(", you")];
    assert_eq!(compare(&mut joint, &frames.each_ref().map(String::as_str)).0, "PPP");
    assert!(joint.may_go_on());
    joint.compare();
    joint
}

#[test]
fn what_is_new_passes_and_what_is_had_does_not() {
    let role = chat("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}");
    let (verdicts, passed) = compare(&mut begun(), &[&role, &text("Hel"), &text("lo, you two"), &text("!")]);
    assert_eq!(verdicts, "DDIP");
    let first: serde_json::Value =
        serde_json::from_str(passed.split("\n\n").next().unwrap().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(first.pointer("/choices/0/delta/content").unwrap(), " two");
    assert_eq!(first["id"], "c");
    assert!(passed.ends_with(&text("!")));

    // It begins where the other ended.
    let (verdicts, passed) = compare(&mut begun(), &[": comment\n\n", &text("Hello, you"), &text(" two")]);
    assert_eq!((verdicts.as_str(), passed), ("DDP", text(" two")));
    // That was all.
    let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    assert_eq!(compare(&mut begun(), &[&text("Hello, you"), end, "data: [DONE]\n\n"]).0, "DPP");
    let both = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\", you\"},\"finish_reason\":\"stop\"}]}\r\n\r\n";
    let (verdicts, passed) = compare(&mut begun(), &[&text("Hello"), both]);
    assert_eq!(verdicts, "DI");
    assert!(passed.contains("\"content\":\"\"") && passed.contains("\"stop\""));
}

#[test]
fn what_differs_does_not_pass() {
    let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
    let tool = chat("{\"tool_calls\":[{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"f\"}}]}");
    let thought = chat("{\"reasoning_content\":\"Hello\"}");
    let second = "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"Hello\"}}]}\n\n";
    for frames in [
        vec![text("Hallo")],
        vec![text("Hello, You")],
        vec![text("Hello "), text(", you")],
        // Shorter than what the client has.
        vec![text("Hello"), end.to_owned()],
        vec![text("Hello"), usage.to_owned()],
        vec![text("Hello"), "data: [DONE]\n\n".to_owned()],
        vec![text("Hello, you"), tool],
        vec![thought],
        vec![second.to_owned()],
        vec!["data: {broken\n\n".to_owned()],
        vec!["data: [1]\n\n".to_owned()],
    ] {
        let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
        let (verdicts, passed) = compare(&mut begun(), &frames);
        assert!(verdicts.ends_with('!') && passed.is_empty(), "{frames:?}: {verdicts}");
    }
}

#[test]
fn nothing_follows_what_is_not_text_alone() {
    let call = "{\"tool_calls\":[{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"f\"}}]}";
    let message = |event: &str| format!("event: e\ndata: {event}\n\n");
    let gemini = |parts: &str| {
        format!("data: {{\"candidates\":[{{\"index\":0,\"content\":{{\"parts\":{parts}}}}}]}}\n\n")
    };
    for (dialect, frame) in [
        (Dialect::Chat, chat(call)),
        (Dialect::Chat, chat("{\"function_call\":{\"name\":\"f\"}}")),
        (Dialect::Chat, chat("{\"refusal\":\"No\"}")),
        (Dialect::Chat, chat("{\"reasoning_content\":\"I think\"}")),
        (Dialect::Chat, chat("{\"content\":[{\"type\":\"text\"}]}")),
        (Dialect::Chat, "data: {\"choices\":[{\"index\":1,\"delta\":{}}]}\n\n".to_owned()),
        (Dialect::Chat, "data: {\"choices\":[{\"index\":0},{\"index\":1}]}\n\n".to_owned()),
        (Dialect::Chat, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":{}}]}\n\n".to_owned()),
        (Dialect::Chat, "data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":\"length\"}]}\n\n".to_owned()),
        (Dialect::Chat, "data: {\"object\":\"other\"}\n\n".to_owned()),
        (Dialect::Chat, text(&"x".repeat(MAX_TEXT + 1))),
        (Dialect::Messages, message("{\"type\":\"content_block_stop\",\"index\":0}")),
        (
            Dialect::Messages,
            message(
                "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\"}}",
            ),
        ),
        (
            Dialect::Messages,
            message(
                "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"a\"}}",
            ),
        ),
        (
            Dialect::Messages,
            message(
                "{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}",
            ),
        ),
        (Dialect::Messages, message("{\"type\":\"unknown\"}")),
        (Dialect::Gemini, gemini("[{\"functionCall\":{\"name\":\"f\"}}]")),
        (Dialect::Gemini, gemini("[{\"text\":\"a\",\"thought\":true}]")),
        (Dialect::Gemini, "data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n".to_owned()),
        (Dialect::Gemini, "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\n".to_owned()),
    ] {
        let mut joint = joint(dialect);
        assert_eq!(joint.frame(frame.as_bytes()), Verdict::Pass, "{frame}");
        assert!(!joint.may_go_on(), "{}", &frame[..frame.len().min(200)]);
    }
    for dialect in [Dialect::Responses, Dialect::Cohere] {
        assert!(Joint::of(dialect).is_none());
    }
}

#[test]
fn messages_have_each_of_their_parts_once() {
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[]}}\n\n";
    let block = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
    let ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    let delta = |text: &str| {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        )
    };
    let stop = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";
    let another = |had: &[&str], frames: &[&str]| {
        let mut joint = joint(Dialect::Messages);
        compare(&mut joint, had);
        joint.compare();
        compare(&mut joint, frames)
    };
    let all = [start, block, ping, &delta("Hi you"), stop];
    assert_eq!(another(&[], &all).0, "PPPPP");
    assert_eq!(another(&[ping], &all).0, "PPPPP");
    assert_eq!(another(&[start], &all).0, "DPPPP");
    assert_eq!(another(&[start, block], &all).0, "DDDPP");
    let (verdicts, passed) = another(&[start, block, &delta("Hi")], &all);
    assert_eq!(verdicts, "DDDIP");
    assert!(passed.starts_with("event: content_block_delta\ndata: {") && passed.contains("\" you\""));
    assert_eq!(another(&[start, block, &delta("Hi you")], &all).0, "DDDDP");
    assert_eq!(another(&[start, block, &delta("Hi you!")], &all).0, "DDDD!");
}

/// Of a byte order mark, and of a frame that has its text at two places.
#[test]
fn what_two_readers_could_take_differently_is_not_joined() {
    let both = "data: {\"choices\":[{\"index\":0,\"text\":\"Hello, you two\",\"delta\":{\"content\":\"Hello, you two\"}}]}\n\n";
    assert_eq!(compare(&mut begun(), &[both]).0, "!");
    let mut whole = Whole::default();
    whole.feed("\u{feff}data: a\n\n\u{feff}data: b\n\n".as_bytes());
    assert_eq!(whole.next(), Some(&b"data: a\n\n"[..]));
    assert_eq!(whole.next(), Some("\u{feff}data: b\n\n".as_bytes()));
}

#[test]
fn gemini_and_completions() {
    let gemini = |text: &str| {
        format!(
            "data: {{\"candidates\":[{{\"index\":0,\"content\":{{\"parts\":[{{\"text\":\"a\"}},{{\"text\":\"{text}\"}}]}}}}]}}\r\n\r\n"
        )
    };
    let completion = |text: &str| format!("data: {{\"choices\":[{{\"index\":0,\"text\":\"a{text}\"}}]}}\n\n");
    for (dialect, first, second) in [
        (Dialect::Gemini, gemini("b"), gemini("bc")),
        (Dialect::GeminiArray, gemini("b"), gemini("bc")),
        (Dialect::Chat, completion("b"), completion("bc")),
    ] {
        let mut joint = joint(dialect);
        assert_eq!(compare(&mut joint, &[&first]).0, "P");
        joint.compare();
        let (verdicts, passed) = compare(&mut joint, &[&second, &second]);
        assert_eq!(verdicts, "IP");
        assert!(
            passed.contains("\"text\":\"c\"") && !passed[..passed.len() - second.len()].contains("ab"),
            "{passed}"
        );
    }
}
