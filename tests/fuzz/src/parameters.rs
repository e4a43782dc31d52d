//! A body, whole and in pieces, against rules of policies. Of the first two bytes one
//! says which policies, one in what pieces.

mod oracle;
mod text;

use crate::memory::bounded;
use oracle::{Expected, expected};
use serde_json::{Value, json};
use shared::policy::parameters::Body;
use shared::policy::{Denial, Owner, Parameters, Policy};
use std::io::{self, BufReader, Read};
use std::sync::LazyLock;

const ENDPOINT: &str = "/v1/chat/completions";

/// The parameter rules of each owner's policy, for this endpoint unless they say another.
const CASES: [&[(Owner, &str)]; 9] = [
    &[(Owner::Project, r#"[{"path": "model", "allow": ["gpt-4o*", "o4-mini"], "required": true}]"#)],
    &[(
        Owner::Token,
        r#"[{"path": "max_tokens", "min": 1, "max": 4096},
            {"path": "temperature", "min": 0, "max": 1.5},
            {"path": "n", "allow": ["1", "0", "-7", "2.5", "9007199254740993"]},
            {"path": "seed", "deny": ["1*", "9007199254740993", "true"]},
            {"path": "stream", "allow": ["true"]}]"#,
    )],
    &[(
        Owner::Provider,
        r#"[{"path": "tools", "forbidden": true},
            {"path": "stream_options.include_usage", "forbidden": true},
            {"path": "messages[].audio", "forbidden": true}]"#,
    )],
    &[(
        Owner::Project,
        r#"[{"path": "response_format.type", "allow": ["json_schema"], "required": true},
            {"path": "response_format.json_schema.name", "deny": ["*secret*"], "required": true},
            {"path": "user", "required": true}]"#,
    )],
    &[(
        Owner::Token,
        r#"[{"path": "model", "allow": ["openai/*"]},
            {"path": "models[]", "allow": ["openai/*"], "deny": ["*:free"], "required": true},
            {"path": "provider.order[]", "deny": ["slow"]}]"#,
    )],
    &[(
        Owner::Project,
        r#"[{"path": "tools[].type", "allow": ["function"], "required": true},
            {"path": "tools[].function.name", "deny": ["rm*"], "required": true},
            {"path": "tools[].function.strict", "forbidden": true}]"#,
    )],
    &[
        (Owner::Provider, r#"[{"path": "n", "max": 9}, {"path": "model", "deny": ["o1-pro*"]}]"#),
        (
            Owner::Project,
            r#"[{"endpoints": ["/v2/**"], "path": "model", "allow": []},
                {"path": "model", "allow": ["gpt-*", "o1*"]}]"#,
        ),
        (Owner::Token, r#"[{"path": "model", "allow": ["*"], "required": true}, {"path": "n", "max": 5}]"#),
    ],
    &[(
        Owner::Token,
        r#"[{"path": "a[].b[].c[].d[]", "allow": ["x*"]},
            {"path": "a", "required": true},
            {"path": "b.c.d.e.f.g.h.\u00fc", "allow": []}]"#,
    )],
    &[
        (
            Owner::Provider,
            r#"[{"path": "stop[]", "deny": ["*secret*"]},
                {"path": "stop", "required": true},
                {"path": "messages[].content.type", "deny": ["image*"]}]"#,
        ),
        (
            Owner::Token,
            r#"[{"path": "messages[].content[].type", "allow": ["text", "image"]},
                {"path": "input[].text", "required": true},
                {"path": "input.text", "deny": ["*secret*"]}]"#,
        ),
    ],
];

static POLICIES: LazyLock<Vec<Vec<(Owner, Policy)>>> =
    LazyLock::new(|| CASES.iter().map(|case| case.iter().map(policy).collect()).collect());

fn policy((owner, rules): &(Owner, &str)) -> (Owner, Policy) {
    let mut rules: Vec<Value> = serde_json::from_str(rules).unwrap();
    for rule in &mut rules {
        rule.as_object_mut().unwrap().entry("endpoints").or_insert(json!(["/v1/**"]));
    }
    (*owner, serde_json::from_value(json!({"parameters": rules})).unwrap())
}

/// A refusal is an outcome here like another.
pub fn run(data: &[u8]) -> bool {
    let Some((&[case, size], body)) = data.split_first_chunk::<2>() else { return false };
    let policies = &POLICIES[usize::from(case) % POLICIES.len()];
    let parameters = Parameters::of(policies.iter().map(|(owner, policy)| (*owner, policy)), ENDPOINT);
    let outcome = bounded(body.len(), || read(&parameters, Body::Whole::<&[u8]>(body)));
    match expected(policies, ENDPOINT, body) {
        Expected::Exactly(expected) => assert_eq!(told(&outcome), expected),
        Expected::SomeRefusal => assert!(outcome.is_err(), "what is no JSON was let pass"),
    }
    // None that is empty is ever read in pieces.
    if !body.is_empty() {
        let pieces = Pieces::new(body, usize::from(size).max(1));
        let in_pieces = bounded(body.len(), || read(&parameters, Body::Read(pieces)));
        assert_eq!(told(&in_pieces), told(&outcome));
    }
    true
}

fn read(parameters: &Parameters<'_>, body: Body<'_, impl Read>) -> Result<(), Denial> {
    parameters.check(Some("application/json"), body)
}

/// Which rule refuses, and how: an error's words may name another column.
fn told(outcome: &Result<(), Denial>) -> oracle::Told {
    let denial = outcome.as_ref().err();
    denial.map(|denial| (denial.code, denial.owner, denial.rule.clone(), denial.param.clone()))
}

/// So many bytes are in memory at once, fewer come at a time, and every other time none.
struct Pieces<'b> {
    rest: &'b [u8],
    size: usize,
    is_interrupted: bool,
}

impl<'b> Pieces<'b> {
    fn new(body: &'b [u8], size: usize) -> BufReader<Self> {
        BufReader::with_capacity(size, Self { rest: body, size: size.div_ceil(3), is_interrupted: false })
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.is_interrupted = !self.is_interrupted;
        if self.is_interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let size = self.size.min(buffer.len());
        self.rest.read(&mut buffer[..size])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::policy::Code;

    #[test]
    fn each_case_is_one_that_is_accepted_when_it_is_saved() {
        for (_, policy) in POLICIES.iter().flatten() {
            policy.validate().unwrap();
        }
    }

    /// The oracle, by hand: a reader that errs as it does would not be found out.
    #[test]
    fn what_is_expected_is_right() {
        const INVALID: Option<&str> = Some("invalid");
        for (case, body, verdict) in [
            (0, r#"{"model": "gpt-4o-mini"}"#, None),
            (0, r#"{"mod\u0065l": "\u006f4-mini", "x": 1, "x": 2}"#, None),
            (0, r#"{"model": "o1"}"#, Some("parameters[0]")),
            (0, r#"{"x": {"model": "gpt-4o"}}"#, Some("parameters[0]")),
            (0, r#"{"model": null}"#, Some("parameters[0]")),
            (0, r#"["model", "gpt-4o"]"#, Some("parameters[0]")),
            (0, "", Some("parameters[0]")),
            (0, r#"{"model": "gpt-4o", "model": "gpt-4o"}"#, INVALID),
            (0, r#"{"model": "o1", "model": "gpt-4o"}"#, Some("parameters[0]")),
            (0, r#"{"model": "gpt-4o", "MODEL": 1}"#, INVALID),
            (0, r#"{"model": "gpt-4o", "x": 1e400, "y": "\ud800"}"#, None),
            (0, r#"{"model": "gpt-4o\ud800"}"#, INVALID),
            (0, r#"{"model": "gpt-4o", "\ud800": 1}"#, INVALID),
            (1, r#"{"max_tokens": 4096.0, "temperature": -0, "n": 1.0, "seed": 21, "stream": true}"#, None),
            (1, r#"{"max_tokens": 0.1e1, "n": 25e-1}"#, None),
            (1, r#"{"max_tokens": 1e400}"#, INVALID),
            (1, r#"{"max_tokens": "1"}"#, Some("parameters[0]")),
            (1, r#"{"n": 9007199254740993}"#, None),
            (1, r#"{"n": 9007199254740992}"#, Some("parameters[2]")),
            (1, r#"{"n": -0}"#, Some("parameters[2]")),
            (1, r#"{"seed": 9007199254740993}"#, Some("parameters[3]")),
            (1, r#"{"seed": [1]}"#, Some("parameters[3]")),
            (
                2,
                r#"{"tools": null, "stream_options": {}, "messages": [[{"audio": 1}], {"audio": null}]}"#,
                None,
            ),
            (2, r#"{"messages": [{}, {"audio": false}]}"#, Some("parameters[2]")),
            (2, r#"{"stream_options": {"include_usage": {}}}"#, Some("parameters[1]")),
            (
                3,
                r#"{"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}, "user": 0}"#,
                None,
            ),
            (3, r#"{"response_format": {"type": "json_schema", "json_schema": 1}}"#, Some("parameters[1]")),
            (
                3,
                r#"{"response_format": {"type": "json_schema", "json_schema": {"name": "my secret"}}}"#,
                Some("parameters[1]"),
            ),
            (3, r#"{"user": "u"}"#, Some("parameters[0]")),
            (4, r#"{"models": ["openai/a", "openai/b"], "provider": {"order": []}}"#, None),
            (4, r#"{"models": []}"#, None),
            (4, r#"{"models": ["openai/a:free"]}"#, Some("parameters[1]")),
            (4, r#"{"models": [null]}"#, Some("parameters[1]")),
            (4, r#"{"provider": {"order": ["fast", "slow"]}}"#, Some("parameters[2]")),
            (5, r#"{"tools": [{"type": "function", "function": {"name": "add"}}]}"#, None),
            (5, r#"{"tools": [{"type": "function", "function": {}}]}"#, Some("parameters[1]")),
            (5, r#"{"tools": [{"type": "function"}, {"type": "web"}]}"#, Some("parameters[1]")),
            (6, r#"{"model": "gpt-4o", "n": 5}"#, None),
            (6, r#"{"n": 10}"#, Some("parameters[0]")),
            (6, r#"{"n": 6}"#, Some("parameters[1]")),
            (7, r#"{"a": [{"b": [{"c": [{"d": ["x"]}]}]}]}"#, None),
            (7, r#"{"a": [{"b": [{"c": [{"d": ["y"]}]}]}]}"#, Some("parameters[0]")),
            (
                7,
                r#"{"a": 1, "b": {"c": {"d": {"e": {"f": {"g": {"h": {"ü": 1}}}}}}}}"#,
                Some("parameters[2]"),
            ),
            (4, r#"{"models": "openai/a"}"#, None),
            (4, r#"{"models": "other/a"}"#, Some("parameters[1]")),
            (4, r#"{"models": {"0": "openai/a"}}"#, Some("parameters[1]")),
            (5, r#"{"tools": {"type": "function", "function": {"name": "add"}}}"#, None),
            (5, r#"{"tools": {"type": "web"}}"#, Some("parameters[0]")),
            (5, r#"{"tools": "function"}"#, Some("parameters[0]")),
            (5, r#"{"tools": null}"#, None),
            (7, r#"{"a": {"b": {"c": {"d": "y"}}}}"#, Some("parameters[0]")),
            (8, r#"{"stop": "END", "messages": [{"content": "hi"}, {"content": {"type": "text"}}]}"#, None),
            (8, r#"{"stop": ["END"], "messages": {"content": [{"type": "image"}]}}"#, None),
            (8, r#"{"stop": "my secret"}"#, Some("parameters[0]")),
            (8, r#"{"messages": {"content": {"type": "image"}}}"#, Some("parameters[2]")),
            (8, r#"{"messages": {"content": {"type": "audio"}}}"#, Some("parameters[0]")),
            (8, r#"{"stop": 1, "input": "hi"}"#, Some("parameters[1]")),
            (8, r#"{"stop": 1, "input": {"text": "hi"}}"#, None),
            (8, r#"{"stop": 1, "input": {"text": "my secret"}}"#, Some("parameters[2]")),
            (8, r#"{"stop": 1, "input": [{"text": "my secret"}]}"#, None),
            (8, r#"{"stop": 1, "input": {"text": 1, "Text": 1}}"#, INVALID),
        ] {
            let policies = &POLICIES[case];
            let Expected::Exactly(told) = expected(policies, ENDPOINT, body.as_bytes()) else {
                panic!("{body} is JSON")
            };
            let told = told
                .map(|(code, _, rule, _)| if code == Code::InvalidBody { "invalid".into() } else { rule });
            assert_eq!(told.as_deref(), verdict, "case {case}: {body}");
            assert!(run(&[&[u8::try_from(case).unwrap(), 5], body.as_bytes()].concat()));
        }
        for body in ["\u{feff}{}", "{\"model\": \"gpt-4o\"}x", "{\"model\": \"gpt-4o\"", "nul", "{\"a\": 01}"]
        {
            assert!(
                matches!(expected(&POLICIES[0], ENDPOINT, body.as_bytes()), Expected::SomeRefusal),
                "{body}"
            );
        }
    }
}
