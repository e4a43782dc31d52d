//! Reads a JSON body by rules: in one pass, keeping nothing, as `serde_json` reads it.
//!
//! Two readers must not be able to take what a rule asks for differently. So a
//! name that is there twice is refused wherever it leads to a rule's value, and
//! one that only differs in the case of its letters, because some providers do
//! not mind it.

use super::parameter::{Scalar, Step};
use super::parameters::Ruled;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::io;

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It is no JSON, or has a name twice.
    Invalid(String),
    /// What it holds is not as this rule, of those given, wants it.
    Parameter { rule: usize, problem: String },
}

/// What is asked of a value and of what it contains, and of which rules.
#[derive(Debug, Default)]
struct Node<'a> {
    rules: Vec<usize>,
    members: Vec<(&'a str, Node<'a>)>,
    each: Option<Box<Node<'a>>>,
}

/// Rules, made ready to read bodies by.
#[derive(Debug)]
pub struct Reader<'a> {
    rules: &'a [Ruled<'a>],
    root: Node<'a>,
}

impl<'a> Reader<'a> {
    /// A rule that is none refuses everything: what arrived damaged must not allow more.
    pub fn new(rules: &'a [Ruled<'a>]) -> Result<Self, Violation> {
        let mut root = Node::default();
        for (number, ruled) in rules.iter().enumerate() {
            let steps = ruled.rule.steps().ok_or_else(|| violation(number, "cannot be judged"))?;
            root.at(&steps).rules.push(number);
        }
        Ok(Self { rules, root })
    }

    pub fn check(&self, body: &[u8]) -> Result<(), Violation> {
        self.judge(serde_json::Deserializer::from_slice(body))
    }

    /// The same for a body that is not all in memory, more slowly.
    pub fn check_read(&self, body: impl io::Read) -> Result<(), Violation> {
        self.judge(serde_json::Deserializer::from_reader(body))
    }

    fn judge<'de, R: serde_json::de::Read<'de>>(
        &self,
        mut body: serde_json::Deserializer<R>,
    ) -> Result<(), Violation> {
        let mut violation = None;
        let visit = Visit { rules: self.rules, node: &self.root, violation: &mut violation };
        let read = visit.deserialize(&mut body).and_then(|_| body.end());
        match (violation, read) {
            (Some(violation), _) => Err(violation),
            (None, Err(error)) => Err(Violation::Invalid(format!("The body is not valid JSON: {error}"))),
            (None, Ok(())) => Ok(()),
        }
    }

    /// The first rule that cannot do without a body.
    pub fn required(&self) -> Option<usize> {
        self.root.required(self.rules)
    }
}

impl<'a> Node<'a> {
    fn at(&mut self, steps: &[Step<'a>]) -> &mut Self {
        let Some((step, rest)) = steps.split_first() else { return self };
        let next = match step {
            Step::Each => self.each.get_or_insert_default(),
            Step::Member(name) => {
                let found = self.members.iter().position(|(member, _)| member == name);
                let at = found.unwrap_or_else(|| {
                    self.members.push((name, Node::default()));
                    self.members.len() - 1
                });
                &mut self.members[at].1
            }
        };
        next.at(rest)
    }

    /// The first rule that cannot do without this value, or what it contains.
    fn required(&self, rules: &[Ruled<'_>]) -> Option<usize> {
        let own = self.rules.iter().copied().find(|rule| rules[*rule].is_required);
        own.or_else(|| self.members.iter().find_map(|(_, node)| node.required(rules)))
    }
}

pub(super) fn violation(rule: usize, problem: impl Into<String>) -> Violation {
    Violation::Parameter { rule, problem: problem.into() }
}

/// Whether a value was there: null is none.
type IsThere = bool;

/// Reads one value.
struct Visit<'r, 'a> {
    rules: &'r [Ruled<'r>],
    node: &'r Node<'a>,
    violation: &'r mut Option<Violation>,
}

impl Visit<'_, '_> {
    fn inner<'i, 'b>(&'i mut self, node: &'i Node<'b>) -> Visit<'i, 'b> {
        Visit { rules: self.rules, node, violation: self.violation }
    }

    fn refuse<E: serde::de::Error>(&mut self, violation: Violation) -> E {
        *self.violation = Some(violation);
        E::custom("refused")
    }

    fn judge<E: serde::de::Error>(&mut self, value: Scalar<'_>) -> Result<IsThere, E> {
        for rule in &self.node.rules {
            if let Err(problem) = self.rules[*rule].rule.check(value) {
                return Err(self.refuse(violation(*rule, problem)));
            }
        }
        Ok(true)
    }

    /// Of a value that has no members.
    fn judge_leaf<E: serde::de::Error>(&mut self, value: Scalar<'_>) -> Result<IsThere, E> {
        self.judge::<E>(value)?;
        // What contains nothing lacks what must be in it.
        let missing = self.node.members.iter().find_map(|(_, node)| node.required(self.rules));
        self.check_missing(missing)?;
        Ok(true)
    }

    fn check_missing<E: serde::de::Error>(&mut self, rule: Option<usize>) -> Result<(), E> {
        match rule {
            Some(rule) => Err(self.refuse(violation(rule, "is required"))),
            None => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Visit<'_, '_> {
    type Value = IsThere;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<IsThere, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Visit<'_, '_> {
    type Value = IsThere;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: serde::de::Error>(mut self) -> Result<IsThere, E> {
        let missing = self.node.required(self.rules);
        self.check_missing(missing)?;
        Ok(false)
    }

    fn visit_bool<E: serde::de::Error>(mut self, value: bool) -> Result<IsThere, E> {
        self.judge_leaf(Scalar::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(mut self, value: i64) -> Result<IsThere, E> {
        self.judge_leaf(Scalar::Integer(value.into()))
    }

    fn visit_u64<E: serde::de::Error>(mut self, value: u64) -> Result<IsThere, E> {
        self.judge_leaf(Scalar::Integer(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(mut self, value: f64) -> Result<IsThere, E> {
        self.judge_leaf(Scalar::Number(value))
    }

    fn visit_str<E: serde::de::Error>(mut self, value: &str) -> Result<IsThere, E> {
        self.judge_leaf(Scalar::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<IsThere, A::Error> {
        self.judge_leaf::<A::Error>(Scalar::Other)?;
        match &self.node.each {
            None => while seq.next_element::<IgnoredAny>()?.is_some() {},
            Some(each) => while seq.next_element_seed(self.inner(each))?.is_some() {},
        }
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<IsThere, A::Error> {
        self.judge::<A::Error>(Scalar::Other)?;
        let node = self.node;
        let mut seen = vec![None; node.members.len()];
        while let Some(Name(name)) = map.next_key()? {
            let Some(at) = node.members.iter().position(|(member, _)| member.eq_ignore_ascii_case(&name))
            else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let (member, inner) = &node.members[at];
            if *member != name {
                let text = format!("The body has the name \"{name}\", which some take for \"{member}\"");
                return Err(self.refuse(Violation::Invalid(text)));
            }
            if seen[at].is_some() {
                let text = format!("The body has the name \"{member}\" twice");
                return Err(self.refuse(Violation::Invalid(text)));
            }
            seen[at] = Some(map.next_value_seed(self.inner(inner))?);
        }
        let missing = node.members.iter().zip(&seen).filter(|(_, seen)| seen.is_none());
        let missing = missing.map(|((_, node), _)| node).find_map(|node| node.required(self.rules));
        self.check_missing(missing)?;
        Ok(true)
    }
}

/// A member's name, unescaped.
struct Name<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Owner, ParameterRule};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn rule(path: &str) -> ParameterRule {
        ParameterRule { endpoints: vec!["/**".into()], path: path.into(), ..ParameterRule::default() }
    }

    fn allow(path: &str, globs: &[&str]) -> ParameterRule {
        ParameterRule { allow: Some(globs.iter().map(ToString::to_string).collect()), ..rule(path) }
    }

    fn required(path: &str) -> ParameterRule {
        ParameterRule { required: true, ..rule(path) }
    }

    fn check(rules: &[ParameterRule], body: &str) -> Result<(), Violation> {
        check_bytes(rules, body.as_bytes())
    }

    fn check_bytes(rules: &[ParameterRule], body: &[u8]) -> Result<(), Violation> {
        let rules: Vec<Ruled<'_>> = rules.iter().map(|rule| Ruled::new(Owner::Project, 0, rule)).collect();
        let reader = Reader::new(&rules)?;
        let outcome = reader.check(body);
        assert_eq!(reader.check_read(body).is_ok(), outcome.is_ok());
        outcome
    }

    /// The path and the problem.
    fn violated(rules: &[ParameterRule], body: &str) -> Option<String> {
        match check(rules, body) {
            Ok(()) => None,
            Err(Violation::Parameter { rule, problem }) => Some(format!("{} {problem}", rules[rule].path)),
            Err(Violation::Invalid(problem)) => Some(problem),
        }
    }

    #[test]
    fn each_rule_is_asked_where_its_path_leads() {
        let rules = [
            allow("model", &["gpt-4o*", "o4-mini"]),
            allow("models[]", &["openai/*"]),
            ParameterRule { max: Some(4096.0), ..rule("max_tokens") },
            ParameterRule { forbidden: true, ..rule("tools[].function.strict") },
            allow("stream_options.include_usage", &["true"]),
        ];
        let refused = |body: &str| violated(&rules, body);
        assert_eq!(refused(r#"{"model":"gpt-4o-mini","models":["openai/a"],"max_tokens":4096}"#), None);
        assert_eq!(refused("{}"), None);
        assert_eq!(refused(r#"{"model":null,"max_tokens":null}"#), None);
        for (body, start) in [
            (r#"{"model":"o1"}"#, "model must be one of"),
            (r#"{"mod\u0065l":"o1"}"#, "model must be one of"),
            (r#"{"model":"gpt-4o\u002dx","models":["openai/a","x"]}"#, "models[] must be one of"),
            (r#"{"models":[["openai/a"]]}"#, "models[] must be a string"),
            (r#"{"max_tokens":4096.5}"#, "max_tokens must be a number of at most 4096"),
            (r#"{"max_tokens":1e400}"#, "The body is not valid JSON"),
            (r#"{"max_tokens":"1"}"#, "max_tokens must be a number"),
            (r#"{"tools":[{},{"function":{"strict":false}}]}"#, "tools[].function.strict is not allowed"),
            (r#"{"stream_options":{"include_usage":false}}"#, "stream_options.include_usage must be one of"),
        ] {
            let problem = refused(body).unwrap_or_default();
            assert!(problem.starts_with(start), "{body}: {problem}");
        }
    }

    #[test]
    fn what_is_required_is_there_and_not_null() {
        let rules = [required("a.b")];
        assert_eq!(violated(&rules, r#"{"a":{"b":false}}"#), None);
        for body in
            ["{}", "null", "1", "[]", r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":{}}"#, r#"{"a":{"b":null}}"#]
        {
            assert_eq!(violated(&rules, body).as_deref(), Some("a.b is required"), "{body}");
        }
    }

    /// Elsewhere they harm nobody.
    #[test]
    fn a_name_that_two_readers_take_differently_is_refused_where_a_rule_reads() {
        let rules = [allow("model", &["*"]), allow("a.b", &["*"])];
        for body in [
            r#"{"model":"a","model":"b"}"#,
            r#"{"model":"a","mod\u0065l":"a"}"#,
            r#"{"Model":"a"}"#,
            r#"{"a":{"b":1},"a":{"b":1}}"#,
            r#"{"a":{"B":1}}"#,
        ] {
            assert!(matches!(check(&rules, body), Err(Violation::Invalid(_))), "{body}");
        }
        assert_eq!(check(&rules, r#"{"x":1,"x":2,"X":3,"model":"m"}"#), Ok(()));
    }

    #[test]
    fn what_is_no_json_is_refused_once_a_rule_reads() {
        let rules = [required("model")];
        let deep = format!("{{\"x\":{}", "[".repeat(100_000));
        for body in ["", "\u{feff}{\"model\":1}", "{\"model\":1}x", "{model:1}", "model=1", &deep] {
            assert!(
                matches!(check(&rules, body), Err(Violation::Invalid(_))),
                "{}",
                &body[..body.len().min(20)]
            );
        }
        let utf16: Vec<u8> = "{\"model\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(check_bytes(&rules, &utf16).is_err());
    }

    #[test]
    fn a_damaged_rule_refuses_everything() {
        assert!(check(&[required("a..b")], "{}").is_err());
    }

    /// The values that a path leads to, by the tree.
    fn values<'v>(value: &'v Value, steps: &[Step<'_>], found: &mut Vec<&'v Value>) {
        let Some((step, rest)) = steps.split_first() else { return found.push(value) };
        match (step, value) {
            (Step::Member(name), Value::Object(members)) => {
                members.get(*name).into_iter().for_each(|inner| values(inner, rest, found));
            }
            (Step::Each, Value::Array(items)) => items.iter().for_each(|inner| values(inner, rest, found)),
            _ => {}
        }
    }

    fn document() -> impl Strategy<Value = Value> {
        let name = prop::sample::select(vec!["a", "b", "c"]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            prop::sample::select(vec!["x", "xy", "ü", "\\u0061"]).prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((name.clone(), inner), 0..4).prop_map(|members| members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_reader_finds_what_the_tree_has(
            document in document(),
            path in prop::sample::select(vec!["a", "a.b", "a[]", "a[].b", "b.c[].a"]),
        ) {
            let rule = allow(path, &["x*", "true"]);
            let mut found = Vec::new();
            values(&document, &rule.steps().unwrap(), &mut found);
            let is_fine = |value: &&Value| match value {
                Value::Null | Value::Bool(true) => true,
                Value::String(text) => text.starts_with('x'),
                _ => false,
            };
            let expected = found.iter().all(is_fine);
            prop_assert_eq!(check(&[rule], &document.to_string()).is_ok(), expected, "{}", document);
        }

        #[test]
        fn whatever_comes_it_ends(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let rules = [allow("a.b", &["*"]), required("c[]")];
            let is_json = serde_json::from_slice::<Value>(&bytes).is_ok();
            let outcome = check_bytes(&rules, &bytes);
            prop_assert!(is_json || outcome.is_err());
        }
    }

    #[test]
    fn a_whole_number_is_judged_to_its_last_digit() {
        let rules = [ParameterRule { deny: vec!["9007199254740993".into()], ..rule("n") }];
        let is_fine = |body: &str| check(&rules, body).is_ok();
        assert!(!is_fine(r#"{"n":9007199254740993}"#));
        assert!(is_fine(r#"{"n":9007199254740992}"#) && is_fine(r#"{"n":-9007199254740993}"#));
        assert_eq!(check(&[allow("n", &["18446744073709551615"])], r#"{"n":18446744073709551615}"#), Ok(()));
    }

    #[test]
    fn numbers_are_judged_as_json_writes_them() {
        let rules = [allow("n", &["1", "2.5"])];
        for (number, is_fine) in
            [("1", true), ("1.0", true), ("2.5", true), ("25e-1", true), ("2", false), ("-1", false)]
        {
            assert_eq!(
                check(&rules, &json!({"n": 0}).to_string().replace('0', number)).is_ok(),
                is_fine,
                "{number}"
            );
        }
    }
}
