use super::*;
use proptest::prelude::*;
use serde_json::{Map, Number, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Root,
    A,
    Inner,
    Each,
    Deep,
}

/// Of the keys that [`documents`] has, some.
static WANTED: Want<Tag> = Want::both(
    "",
    Tag::Root,
    &[
        Want::value("a", Tag::A),
        Want::both(
            "b",
            Tag::Inner,
            &[
                Want::value("ä\n\"", Tag::A),
                Want::both(EACH, Tag::Each, &[Want::value("a", Tag::Deep)]),
                Want::inside("a", &[Want::inside("b", &[Want::value("a", Tag::Deep)])]),
            ],
        ),
    ],
);

/// What was found, the positions aside, which pieces do not change either.
fn scan(text: &[u8], size: usize) -> (Scanner<Tag>, Vec<(Tag, String, u64)>) {
    let mut scanner = Scanner::new(&WANTED);
    let mut found = Vec::new();
    for piece in text.chunks(size.max(1)) {
        scanner.feed(piece, &mut |tag, value, at| {
            let value = match value {
                Value::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
                other => format!("{other:?}"),
            };
            found.push((tag, value, at));
        });
    }
    (scanner, found)
}

/// The same by way of the whole document.
fn expected(value: &serde_json::Value) -> Vec<(Tag, String)> {
    fn walk(want: &'static Want<Tag>, value: &serde_json::Value, found: &mut Vec<(Tag, String)>) {
        use serde_json::Value as Json;
        let mut note = |text: String| found.extend(want.tag.map(|tag| (tag, text)));
        match value {
            Json::Null => note("Null".into()),
            Json::Bool(value) => note(format!("Bool({value})")),
            Json::Number(number) => {
                let whole = number.as_u64().or_else(|| {
                    let number = number.as_f64().unwrap();
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
                    (number.fract() == 0.0 && (0.0..9e15).contains(&number)).then_some(number as u64)
                });
                note(format!("Number({whole:?})"));
            }
            Json::String(text) => note(format!("{text:?}")),
            Json::Array(elements) => {
                note("Array".into());
                let each = want.inner.iter().find(|want| want.key == EACH);
                for (want, element) in
                    each.into_iter().flat_map(|want| elements.iter().map(move |one| (want, one)))
                {
                    walk(want, element, found);
                }
                found.extend(want.tag.map(|tag| (tag, "End".into())));
            }
            Json::Object(members) => {
                note("Object".into());
                for (key, member) in members {
                    if let Some(want) = want.find(key.as_bytes()) {
                        walk(want, member, found);
                    }
                }
                found.extend(want.tag.map(|tag| (tag, "End".into())));
            }
        }
    }
    let mut found = Vec::new();
    walk(&WANTED, value, &mut found);
    found
}

fn documents() -> impl Strategy<Value = serde_json::Value> {
    let key = prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just("ä\n\"".to_owned()), "\\PC{0,40}"];
    let text = prop_oneof!["\\PC{0,6}", "[\\x00-\\x20\"\\\\/😀é]{0,40}"];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<u64>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<f64>()
            .prop_filter_map("no JSON", |value| Number::from_f64(value).map(serde_json::Value::Number)),
        text.prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::Array),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(Map::from_iter(members))),
        ]
    })
}

proptest! {
    #[test]
    fn finds_what_serde_json_finds(document in documents(), is_pretty: bool, size in 1_usize..40) {
        let text = if is_pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
        // White space ends a number at the top.
        let text = format!("{} ", text.unwrap());
        let (scanner, found) = scan(text.as_bytes(), size);
        prop_assert!(scanner.is_whole() && !scanner.is_broken());
        let (_, at_once) = scan(text.as_bytes(), usize::MAX);
        prop_assert_eq!(&found, &at_once);
        for (_, value, at) in &found {
            let at = usize::try_from(*at).unwrap();
            match value.as_str() {
                "Null" => prop_assert!(text[..at].ends_with("null")),
                "Object" => prop_assert_eq!(text.as_bytes()[at], b'{'),
                "Bool(true)" => prop_assert!(text[..at].ends_with("true")),
                _ => {}
            }
        }
        let found: Vec<_> = found.into_iter().map(|(tag, value, _)| (tag, value)).collect();
        prop_assert_eq!(found, expected(&document));
    }

    /// Cut anywhere, an object can be completed so that another member follows.
    #[test]
    fn completes_whatever_is_cut(document in documents(), at in any::<prop::sample::Index>(), depth in 1_u8..3) {
        let (before, after) = [("{\"x\":", "}"), ("[{\"x\":", "}]")][usize::from(depth - 1)];
        let text = format!("{before}{document}{after}");
        let at = at.index(text.len());
        prop_assume!(text.is_char_boundary(at));
        let (scanner, _) = scan(&text.as_bytes()[..at], usize::MAX);
        if let Some(rest) = scanner.completion(depth) {
            let more = ["\"error\":1}", "\"error\":1}]"][usize::from(depth - 1)];
            let whole = format!("{}{rest}{more}", &text[..at]);
            let value: Result<serde_json::Value, _> = serde_json::from_str(&whole);
            prop_assert!(value.is_ok(), "{whole} {value:?}");
            let value = value.unwrap();
            let object = if depth == 1 { &value } else { &value[0] };
            prop_assert_eq!(&object["error"], 1);
        } else {
            let is_inside = at > before.find('{').unwrap() && at <= text.len() - usize::from(depth);
            prop_assert!(!is_inside, "{}", &text[..at]);
        }
    }

    /// It may take what is no JSON for some, but never the other way round, and it never panics.
    #[test]
    fn is_at_most_lenient(bytes in prop::collection::vec(prop_oneof![
        Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b'"'), Just(b':'), Just(b','), Just(b'\\'),
        Just(b'u'), Just(b'1'), Just(b'e'), Just(b'-'), Just(b'n'), Just(b'a'), Just(b' '), any::<u8>(),
    ], 0..40), size in 1_usize..9) {
        let (scanner, _) = scan(&bytes, size);
        let is_json = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok();
        prop_assert!(!is_json || scanner.is_whole(), "{:?}", String::from_utf8_lossy(&bytes));
        prop_assert!(!(scanner.is_whole() && scanner.is_broken()));
        scanner.completion(1);
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(scan(nested(127).as_bytes(), 64).0.is_whole());
    assert!(scan(nested(128).as_bytes(), 64).0.is_broken());
    assert!(serde_json::from_str::<serde_json::Value>(&nested(127)).is_ok());
    assert!(serde_json::from_str::<serde_json::Value>(&nested(128)).is_err());
}

#[test]
fn escapes_in_keys_and_texts() {
    let found =
        |text: &str| scan(text.as_bytes(), 3).1.into_iter().map(|(_, value, _)| value).collect::<Vec<_>>();
    assert_eq!(found(r#"{"\u0061":"\ud83d\ude00\/\n"}"#)[1], format!("{:?}", "😀/\n"));
    assert_eq!(found(r#"{"a":"\ud83dx\ude00"}"#)[1], format!("{:?}", "\u{fffd}x\u{fffd}"));
    for broken in [r#"{"a":"\x"}"#, r#"{"a":"\u00g0"}"#] {
        assert!(scan(broken.as_bytes(), 1).0.is_broken(), "{broken}");
    }
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
    assert_eq!(found(&long)[1].len(), 2 + crate::event::MAX_TEXT_LEN);
    assert!(
        found(&format!("{{\"{}\":1,\"a\":2}}", "a".repeat(100_000))).contains(&"Number(Some(2))".to_owned())
    );
}
