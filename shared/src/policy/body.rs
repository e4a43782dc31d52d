//! Reads a JSON body by rules: in one pass, keeping nothing, as `serde_json` reads it.
//!
//! Two readers must not be able to take what a rule asks for differently. So a
//! name that is there twice is refused wherever it leads to a rule's value, and
//! one that only differs in the case of its letters, because some providers do
//! not mind it; and a value that is no array, where a rule is about each element,
//! is judged as the only one, because some providers take it for that.

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
        let visit = Visit { rules: self.rules, nodes: &[&self.root], violation: &mut violation };
        let read = visit.deserialize(&mut body).and_then(|()| body.end());
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

    fn members(&self) -> impl Iterator<Item = Member<'_, 'a>> + Clone {
        self.members.iter().map(|(name, node)| Member { name, node, is_seen: false })
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

/// What is asked of a member of the object that is being read.
struct Member<'r, 'a> {
    name: &'a str,
    node: &'r Node<'a>,
    is_seen: bool,
}

impl<'r, 'a> Member<'r, 'a> {
    fn see(&mut self) -> &'r Node<'a> {
        self.is_seen = true;
        self.node
    }
}

/// Reads one value, which several nodes may be about.
struct Visit<'r, 'a> {
    rules: &'r [Ruled<'r>],
    nodes: &'r [&'r Node<'a>],
    violation: &'r mut Option<Violation>,
}

impl<'r, 'a> Visit<'r, 'a> {
    fn inner<'i>(&'i mut self, nodes: &'i [&'i Node<'a>]) -> Visit<'i, 'a> {
        Visit { rules: self.rules, nodes, violation: self.violation }
    }

    /// What is asked of an array's elements.
    fn each(&self) -> impl Iterator<Item = &'r Node<'a>> + Clone + use<'r, 'a> {
        self.nodes.iter().filter_map(|node| node.each.as_deref())
    }

    /// What is asked of a value that is no array: it is the only element as well.
    fn single(&self) -> impl Iterator<Item = &'r Node<'a>> + Clone + use<'r, 'a> {
        self.nodes.iter().copied().chain(self.each())
    }

    fn refuse<E: serde::de::Error>(&mut self, violation: Violation) -> E {
        *self.violation = Some(violation);
        E::custom("refused")
    }

    fn judge<E: serde::de::Error>(
        &mut self,
        mut nodes: impl Iterator<Item = &'r Node<'a>>,
        value: Scalar<'_>,
    ) -> Result<(), E> {
        let check = |rule: &usize| {
            let problem = self.rules[*rule].rule.check(value).err()?;
            Some(violation(*rule, problem))
        };
        match nodes.find_map(|node| node.rules.iter().find_map(check)) {
            Some(violation) => Err(self.refuse(violation)),
            None => Ok(()),
        }
    }

    fn check_missing<E: serde::de::Error>(
        &mut self,
        mut nodes: impl Iterator<Item = &'r Node<'a>>,
    ) -> Result<(), E> {
        match nodes.find_map(|node| node.required(self.rules)) {
            Some(rule) => Err(self.refuse(violation(rule, "is required"))),
            None => Ok(()),
        }
    }

    /// Of a value that has no members.
    fn judge_leaf<E: serde::de::Error>(
        &mut self,
        nodes: impl Iterator<Item = &'r Node<'a>> + Clone,
        value: Scalar<'_>,
    ) -> Result<(), E> {
        self.judge(nodes.clone(), value)?;
        // What contains nothing lacks what must be in it.
        self.check_missing(nodes.flat_map(Node::members).map(|member| member.node))
    }

    /// What is asked of the member of this name.
    fn named<E: serde::de::Error>(
        &mut self,
        members: &mut [Member<'r, 'a>],
        name: &str,
    ) -> Result<Vec<&'r Node<'a>>, E> {
        let Some(like) = members.iter().find(|member| member.name.eq_ignore_ascii_case(name)) else {
            return Ok(Vec::new());
        };
        let problem = match like.name {
            member if member != name => Some(format!("\"{name}\", which some take for \"{member}\"")),
            member if like.is_seen => Some(format!("\"{member}\" twice")),
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(self.refuse(Violation::Invalid(format!("The body has the name {problem}"))));
        }
        let named = members.iter_mut().filter(|member| member.name == name);
        Ok(named.map(Member::see).collect())
    }
}

impl<'de> DeserializeSeed<'de> for Visit<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Visit<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: serde::de::Error>(mut self) -> Result<(), E> {
        self.check_missing(self.nodes.iter().copied())
    }

    fn visit_bool<E: serde::de::Error>(mut self, value: bool) -> Result<(), E> {
        self.judge_leaf(self.single(), Scalar::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(mut self, value: i64) -> Result<(), E> {
        self.judge_leaf(self.single(), Scalar::Integer(value.into()))
    }

    fn visit_u64<E: serde::de::Error>(mut self, value: u64) -> Result<(), E> {
        self.judge_leaf(self.single(), Scalar::Integer(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(mut self, value: f64) -> Result<(), E> {
        self.judge_leaf(self.single(), Scalar::Number(value))
    }

    fn visit_str<E: serde::de::Error>(mut self, value: &str) -> Result<(), E> {
        self.judge_leaf(self.single(), Scalar::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        self.judge_leaf(self.nodes.iter().copied(), Scalar::Other)?;
        let each: Vec<_> = self.each().collect();
        if each.is_empty() {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
        } else {
            while seq.next_element_seed(self.inner(&each))?.is_some() {}
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.judge(self.single(), Scalar::Other)?;
        let mut members: Vec<_> = self.single().flat_map(Node::members).collect();
        while let Some(Name(name)) = map.next_key()? {
            let nodes = self.named(&mut members, &name)?;
            if nodes.is_empty() {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(self.inner(&nodes))?;
            }
        }
        self.check_missing(members.iter().filter(|member| !member.is_seen).map(|member| member.node))
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

    #[test]
    fn one_value_is_judged_as_the_only_element() {
        let refused = |rules: &[ParameterRule], body: &str| violated(rules, body).unwrap_or_default();
        let models = [allow("models[]", &["openai/*", "true", "7"])];
        for body in
            [r#"{"models":"openai/o1"}"#, r#"{"models":true}"#, r#"{"models":7}"#, r#"{"models":null}"#]
        {
            assert_eq!(refused(&models, body), "", "{body}");
        }
        for (body, start) in [
            (r#"{"models":"x"}"#, "models[] must be one of"),
            (r#"{"models":false}"#, "models[] must be one of"),
            (r#"{"models":{"0":"openai/o1"}}"#, "models[] must be a string"),
        ] {
            assert!(refused(&models, body).starts_with(start), "{body}");
        }
        let tools = [allow("tools[].type", &["function"])];
        assert_eq!(refused(&tools, r#"{"tools":{"type":"function"}}"#), "");
        assert!(refused(&tools, r#"{"tools":{"type":"web"}}"#).starts_with("tools[].type must be one of"));
        assert!(refused(&tools, r#"{"tools":{"Type":"function"}}"#).starts_with("The body has the name"));
        assert!(refused(&tools, r#"{"tools":{"type":"function","type":"function"}}"#).ends_with("twice"));
    }

    #[test]
    fn one_value_has_the_members_that_it_has() {
        let path = "messages[].content[].type";
        let text = r#"{"messages":[{"content":"Hello"}]}"#;
        let part = r#"{"messages":{"content":{"type":"text"}}}"#;
        for rule in [
            allow(path, &["image"]),
            ParameterRule { deny: vec!["*".into()], ..rule(path) },
            ParameterRule { min: Some(1.0), ..rule(path) },
            ParameterRule { max: Some(1.0), ..rule(path) },
            ParameterRule { forbidden: true, ..rule(path) },
        ] {
            let rules = [rule];
            assert_eq!(violated(&rules, text), None);
            assert!(violated(&rules, part).is_some());
        }
        let rules = [required(path)];
        let lacks = Some("messages[].content[].type is required");
        for body in [text, r#"{"messages":[{"content":["Hello"]}]}"#, r#"{"messages":{"content":{}}}"#] {
            assert_eq!(violated(&rules, body).as_deref(), lacks, "{body}");
        }
        for body in [part, "{}", r#"{"messages":"Hello"}"#, r#"{"messages":{"content":null}}"#] {
            assert_eq!(violated(&rules, body), None, "{body}");
        }
    }

    #[test]
    fn a_value_is_judged_as_itself_too() {
        let rules = [
            ParameterRule { max: Some(9.0), ..rule("a") },
            allow("a[]", &["7", "x"]),
            ParameterRule { forbidden: true, ..rule("b.c") },
            allow("b[].c", &["x"]),
            required("b[].d"),
            allow("b.d.e", &["x"]),
        ];
        let refused = |body: &str| violated(&rules, body).unwrap_or_default();
        for body in [r#"{"a":7}"#, r#"{"b":[{"c":"x","d":1}]}"#, r#"{"b":{"d":{"e":"x"}}}"#] {
            assert_eq!(refused(body), "", "{body}");
        }
        for (body, start) in [
            (r#"{"a":8}"#, "a[] must be one of"),
            (r#"{"a":"x"}"#, "a must be a number"),
            (r#"{"a":[7]}"#, "a must be a number"),
            (r#"{"b":{"c":"x","d":1}}"#, "b.c is not allowed"),
            (r#"{"b":{"d":{"e":"y"}}}"#, "b.d.e must be one of"),
            (r#"{"b":{"d":null}}"#, "b[].d is required"),
            (r#"{"b":1}"#, "b[].d is required"),
            (r#"{"b":{"d":1,"d":1}}"#, "The body has the name \"d\" twice"),
        ] {
            assert!(refused(body).starts_with(start), "{body}: {}", refused(body));
        }
    }

    #[test]
    fn a_list_is_not_taken_for_its_only_element() {
        assert!(
            violated(&[allow("model", &["x"])], r#"{"model":["x"]}"#).unwrap().contains("must be a string")
        );
        assert_eq!(violated(&[allow("a.b", &["x"])], r#"{"a":[{"b":"y"}]}"#), None);
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
            (Step::Each, Value::Null) | (Step::Member(_), _) => {}
            (Step::Each, single) => values(single, rest, found),
        }
    }

    /// Whether what a path leads to is there, wherever it could be.
    fn has(value: &Value, steps: &[Step<'_>]) -> bool {
        let Some((step, rest)) = steps.split_first() else { return !value.is_null() };
        match (step, value) {
            (Step::Member(name), value) => has(value.get(name).unwrap_or(&Value::Null), rest),
            (Step::Each, Value::Null) => true,
            (Step::Each, Value::Array(items)) => items.iter().all(|inner| has(inner, rest)),
            (Step::Each, single) => has(single, rest),
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
            paths in prop::sample::subsequence(
                vec!["a", "a.b", "a[]", "a[].b", "b.c[].a", "a[].b[]", "a.b[].c", "a[].b[].c"], 1..4,
            ),
            is_required: bool,
        ) {
            let rule = |path: &&str| ParameterRule { required: is_required, ..allow(path, &["x*", "true"]) };
            let rules: Vec<_> = paths.iter().map(rule).collect();
            let mut found = Vec::new();
            for rule in &rules {
                values(&document, &rule.steps().unwrap(), &mut found);
            }
            let is_there = rules.iter().all(|rule| has(&document, &rule.steps().unwrap()));
            let is_fine = |value: &&Value| match value {
                Value::Null | Value::Bool(true) => true,
                Value::String(text) => text.starts_with('x'),
                _ => false,
            };
            let expected = found.iter().all(is_fine) && (is_there || !is_required);
            prop_assert_eq!(check(&rules, &document.to_string()).is_ok(), expected, "{:?} {}", paths, document);
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
