//! What a request's body asks for, and what is written into it.

use crate::event;
use crate::json::{Scanner, Value, Want};
use crate::provider::Api;

const JSON: &str = "application/json";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Cut to [`event::MAX_TEXT_LEN`].
    pub model: Option<String>,
    pub is_stream: bool,
    /// `stream_options.include_usage` is true.
    pub asks_usage: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Root,
    Model,
    Stream,
    StreamOptions,
    IncludeUsage,
}

static REQUEST: Want<Part> = Want::both(
    "",
    Part::Root,
    &[
        Want::value("model", Part::Model),
        Want::value("stream", Part::Stream),
        Want::both(
            "stream_options",
            Part::StreamOptions,
            &[Want::value("include_usage", Part::IncludeUsage)],
        ),
    ],
);

/// Whether a request posts JSON, and so may ask a model.
pub fn is_json(method: &str, content_type: Option<&str>) -> bool {
    let is_json =
        |value: &str| value.trim_start().get(..16).is_some_and(|kind| kind.eq_ignore_ascii_case(JSON));
    method == "POST" && content_type.is_some_and(is_json)
}

/// Of a body that is no JSON nothing is known.
pub fn read(api: Api, endpoint: &str, body: &[u8]) -> Asked {
    let mut asked = Asked::default();
    if api == Api::Gemini
        && let Some((model, action)) = gemini_target(endpoint)
    {
        asked.model = Some(event::text(model.as_bytes()));
        asked.is_stream = action == "streamGenerateContent";
        return asked;
    }
    Scanner::new(&REQUEST).feed(body, &mut |part, value, _| match (part, value) {
        (Part::Model, Value::Text(name)) => asked.model = Some(event::text(name)),
        (Part::Stream, value) => asked.is_stream = value == Value::Bool(true),
        (Part::StreamOptions, value) => asked.asks_usage &= value == Value::End,
        (Part::IncludeUsage, value) => asked.asks_usage = value == Value::Bool(true),
        (Part::Root | Part::Model, _) => {}
    });
    asked
}

/// `/v1beta/models/{model}:{action}`, also of tuned models.
fn gemini_target(endpoint: &str) -> Option<(&str, &str)> {
    let (_, target) = endpoint.rsplit_once('/')?;
    target.rsplit_once(':')
}

/// A place of a body, from its first byte up to another, and what is written there instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub from: usize,
    pub to: usize,
    pub text: String,
}

/// The body with some places written anew, every other byte as it was. The places
/// are in order, and apart.
pub fn edited(body: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(body.len() + edits.iter().map(|edit| edit.text.len()).sum::<usize>());
    let mut from = 0;
    for edit in edits {
        whole.extend_from_slice(body.get(from..edit.from).unwrap_or_default());
        whole.extend_from_slice(edit.text.as_bytes());
        from = edit.to;
    }
    whole.extend_from_slice(body.get(from..).unwrap_or_default());
    whole
}

/// Where the model's name is, quotes included. None where there is none, or
/// where two readers could take the body differently.
pub fn place_of_model(body: &[u8]) -> Option<(usize, usize)> {
    let mut places = Vec::new();
    let mut scanner = Scanner::new(&REQUEST);
    scanner.feed(body, &mut |part, value, at| {
        if part == Part::Model && places.len() < 2 {
            places.push(matches!(value, Value::Text(_)).then_some(at));
        }
    });
    let [Some(end)] = places.as_slice() else { return None };
    let end = usize::try_from(*end).ok().filter(|_| scanner.is_whole())?;
    // Of the quotes before the last, those within the name have a backslash before them.
    let mut from = end.checked_sub(1)?;
    loop {
        from = body.get(..from)?.iter().rposition(|&byte| byte == b'"')?;
        let backslashes = body.get(..from)?.iter().rev().take_while(|&&byte| byte == b'\\').count();
        if backslashes % 2 == 0 {
            return Some((from, end));
        }
    }
}

/// What sets `stream_options.include_usage` to true. For chat completions and
/// completions. None where it is so already, where it is no stream, or where two
/// readers could take the body differently.
pub fn usage_asked(body: &[u8]) -> Option<Edit> {
    const OPTION: &str = "\"include_usage\":true";
    let edit = Places::of(body)?.edit()?;
    let (from, to, text) = match edit {
        Change::Nothing => return None,
        Change::Value { end, length } => (end.checked_sub(length)?, end, "true".to_owned()),
        Change::Options { end, length } => (end.checked_sub(length)?, end, format!("{{{OPTION}}}")),
        Change::Into { brace, is_root } => {
            let at = brace.checked_add(1)?;
            let is_empty = body.get(at..)?.trim_ascii_start().starts_with(b"}");
            let comma = if is_empty { "" } else { "," };
            let member = if is_root {
                format!("\"stream_options\":{{{OPTION}}}{comma}")
            } else {
                format!("{OPTION}{comma}")
            };
            (at, at, member)
        }
    };
    Some(Edit { from, to, text })
}

/// What was found, how often and where.
#[derive(Debug, Default)]
struct Places {
    root: Option<u64>,
    streams: Vec<bool>,
    options: Vec<(Found, u64)>,
    include: Vec<(Found, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Null,
    Bool(bool),
    Object,
    Other,
}

/// What has to be written where.
enum Change {
    Nothing,
    /// In place of a `false` or `null` that ends there.
    Value {
        end: usize,
        length: usize,
    },
    Options {
        end: usize,
        length: usize,
    },
    /// As the first member of the object that begins there.
    Into {
        brace: usize,
        is_root: bool,
    },
}

impl Places {
    fn of(body: &[u8]) -> Option<Self> {
        let mut places = Self::default();
        let mut scanner = Scanner::new(&REQUEST);
        scanner.feed(body, &mut |part, value, at| {
            let found = match value {
                Value::End => return,
                Value::Null => Found::Null,
                Value::Bool(value) => Found::Bool(value),
                Value::Object => Found::Object,
                Value::Number(_) | Value::Text(_) | Value::Length(_) | Value::Array => Found::Other,
            };
            // Two are one too many already; a million need not be kept.
            let add = |list: &mut Vec<(Found, u64)>| {
                if list.len() < 2 {
                    list.push((found, at));
                }
            };
            match part {
                Part::Root => places.root = (found == Found::Object).then_some(at),
                Part::Stream if places.streams.len() < 2 => places.streams.push(found == Found::Bool(true)),
                Part::Model | Part::Stream => {}
                Part::StreamOptions => add(&mut places.options),
                Part::IncludeUsage => add(&mut places.include),
            }
        });
        scanner.is_whole().then_some(places)
    }

    fn edit(&self) -> Option<Change> {
        let brace = usize::try_from(self.root?).ok()?;
        if self.streams != [true] {
            return None;
        }
        match (self.options.as_slice(), self.include.as_slice()) {
            ([], _) => Some(Change::Into { brace, is_root: true }),
            ([(Found::Null, end)], _) => {
                Some(Change::Options { end: usize::try_from(*end).ok()?, length: 4 })
            }
            ([(Found::Object, at)], []) => {
                Some(Change::Into { brace: usize::try_from(*at).ok()?, is_root: false })
            }
            ([(Found::Object, _)], [(Found::Bool(true), _)]) => Some(Change::Nothing),
            ([(Found::Object, _)], [(found @ (Found::Bool(false) | Found::Null), end)]) => {
                Some(Change::Value {
                    end: usize::try_from(*end).ok()?,
                    length: if *found == Found::Null { 4 } else { 5 },
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, json};

    #[test]
    fn what_is_asked() {
        let chat = |body: &str| read(Api::OpenAi, "/v1/chat/completions", body.as_bytes());
        let asked = chat(
            r#"{"messages":[{"model":"x"}],"stream":true,"model":"gpt-4o","stream_options":{"include_usage":true}}"#,
        );
        assert_eq!(asked, Asked { model: Some("gpt-4o".into()), is_stream: true, asks_usage: true });
        let asked = chat(r#"{"model":"m","stream":false,"stream_options":null}"#);
        assert_eq!(asked, Asked { model: Some("m".into()), ..Asked::default() });
        // Of two the last counts, as for most readers.
        assert!(
            !chat(r#"{"stream":true,"stream_options":{"include_usage":true},"stream_options":{}}"#)
                .asks_usage
        );
        for body in
            ["", "[]", "--boundary\r\n", "{\"model\":3,\"stream\":\"true\"}", "\u{feff}{\"model\":\"m\"}"]
        {
            assert_eq!(chat(body), Asked::default(), "{body}");
        }
        assert_eq!(chat("{\"model\":\"a\\u0000b\"").model.as_deref(), Some("ab"));
        let gemini = |path| read(Api::Gemini, path, b"{\"model\":\"other\"}");
        let asked = gemini("/v1beta/models/gemini-2.5-pro:streamGenerateContent");
        assert_eq!((asked.model.as_deref(), asked.is_stream), (Some("gemini-2.5-pro"), true));
        let asked = gemini("/v1beta/tunedModels/mine:generateContent");
        assert_eq!((asked.model.as_deref(), asked.is_stream), (Some("mine"), false));
        assert_eq!(gemini("/v1beta/openai/chat/completions").model.as_deref(), Some("other"));
    }

    #[test]
    fn usage_is_asked_for_and_nothing_else_is_touched() {
        let edited = |body: &str| {
            usage_asked(body.as_bytes())
                .map(|edit| String::from_utf8(super::edited(body.as_bytes(), &[edit])).unwrap())
        };
        for (body, expected) in [
            (r#"{"stream":true}"#, r#"{"stream_options":{"include_usage":true},"stream":true}"#),
            (
                "\n{ \"stream\" : true ,\"x\":1.0e5}\n",
                "\n{\"stream_options\":{\"include_usage\":true}, \"stream\" : true ,\"x\":1.0e5}\n",
            ),
            (
                r#"{"stream":true,"stream_options":null}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{ }}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true }}"#,
            ),
            (
                r#"{"stream_options":{"include_obfuscation":false},"stream":true}"#,
                r#"{"stream_options":{"include_usage":true,"include_obfuscation":false},"stream":true}"#,
            ),
            (
                r#"{"stream_options":{"include_usage":false},"stream":true}"#,
                r#"{"stream_options":{"include_usage":true},"stream":true}"#,
            ),
            (
                r#"{"stream_options":{"include_usage": null},"stream":true}"#,
                r#"{"stream_options":{"include_usage": true},"stream":true}"#,
            ),
        ] {
            assert_eq!(edited(body).as_deref(), Some(expected));
        }
        for body in [
            "",
            "[]",
            "{}",
            // It is asked for.
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
            r#"{"stream":false}"#,
            r#"{"stream":true"#,
            r#"{"stream":true}}"#,
            r#"{"stream":true,"stream":true}"#,
            r#"{"stream":true,"stream_options":{},"stream_options":{}}"#,
            r#"{"stream":true,"stream_options":{},"stream\u005foptions":{}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true,"include_usage":false}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":"no"}}"#,
            r#"{"stream":true,"stream_options":[]}"#,
            r#"[{"stream":true}]"#,
        ] {
            assert_eq!(edited(body), None, "{body}");
        }
    }

    #[test]
    fn the_model_is_found_as_it_is_written() {
        for (body, name) in [
            (r#"{"model":"gpt-4o"}"#, Some("\"gpt-4o\"")),
            (r#"{"a":{"model":"x"}, "mod\u0065l" : "a\"b\\" ,"c":1}"#, Some("\"a\\\"b\\\\\"")),
            (r#"{"model":""}"#, Some("\"\"")),
            (r#"{"model":"a","model":"b"}"#, None),
            (r#"{"model":null}"#, None),
            (r#"{"model":"a""#, None),
            ("", None),
        ] {
            let place = place_of_model(body.as_bytes());
            assert_eq!(place.map(|(from, to)| &body[from..to]), name, "{body}");
        }
        let edit = Edit { from: 9, to: 17, text: "\"b\"".into() };
        assert_eq!(edited(br#"{"model":"gpt-4o"}"#, &[edit]), br#"{"model":"b"}"#);
    }

    proptest! {
        #[test]
        fn means_the_same_with_usage_asked(
            members in prop::collection::btree_map("[a-z\"\\\\é]{0,5}", prop_oneof![
                Just(json!(1)), Just(json!({"stream": false, "stream_options": {}})), Just(json!(["stream", "}"])),
            ], 0..5),
            options in prop_oneof![
                Just(None), Just(Some(json!(null))), Just(Some(json!({}))), Just(Some(json!({"a": [1], "include_usage": false}))),
            ],
            is_pretty: bool,
        ) {
            let mut body: Map<String, serde_json::Value> = members.into_iter().collect();
            body.insert("stream".into(), json!(true));
            body.extend(options.map(|options| ("stream_options".to_owned(), options)));
            let text = if is_pretty { serde_json::to_vec_pretty(&body) } else { serde_json::to_vec(&body) }.unwrap();
            let edited: serde_json::Value = serde_json::from_slice(&edited(&text, &[usage_asked(&text).unwrap()])).unwrap();
            let options = body.entry("stream_options").or_insert(json!({}));
            if options.is_null() {
                *options = json!({});
            }
            options["include_usage"] = json!(true);
            prop_assert_eq!(edited, serde_json::Value::Object(body));
        }
    }
}
