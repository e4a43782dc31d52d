//! Reads a JSON body by rules: in one pass, keeping nothing, as `serde_json` reads it.
//!
//! Two readers must not be able to take what a rule asks for differently. So a
//! name that is there twice is refused wherever it leads to a rule's value, and
//! one that only differs in the case of its letters, because some providers do
//! not mind it.

use super::parameter::{ParameterRule, Scalar, Step};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It is no JSON, or has a name twice.
    Invalid(String),
    /// What it holds at this path is not as this rule, of those given, wants it.
    Parameter { rule: usize, path: String, problem: String },
}

/// What is asked of a value and of what it contains, and of which rules.
#[derive(Debug, Default)]
struct Node<'a> {
    rules: Vec<usize>,
    members: Vec<(&'a str, Node<'a>)>,
    each: Option<Box<Node<'a>>>,
}

/// Those of some rules that apply to an endpoint, made ready.
#[derive(Debug)]
pub struct Reader<'a> {
    rules: &'a [ParameterRule],
    root: Node<'a>,
    is_empty: bool,
}

impl<'a> Reader<'a> {
    /// A rule that is none refuses everything: what arrived damaged must not allow more.
    pub fn new(rules: &'a [ParameterRule], endpoint: &str) -> Result<Self, Violation> {
        let (mut root, mut is_empty) = (Node::default(), true);
        for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.applies(endpoint)) {
            let steps = rule.steps().ok_or_else(|| rule.violation(number, "cannot be judged"))?;
            root.at(&steps).rules.push(number);
            is_empty = false;
        }
        Ok(Self { rules, root, is_empty })
    }

    /// Whether the body need not be read.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    pub fn check(&self, body: &[u8]) -> Result<(), Violation> {
        if self.is_empty {
            return Ok(());
        }
        let mut violation = None;
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let visit = Visit { rules: self.rules, node: &self.root, violation: &mut violation };
        let read = visit.deserialize(&mut deserializer).and_then(|_| deserializer.end());
        match (violation, read) {
            (Some(violation), _) => Err(violation),
            (None, Err(error)) => Err(Violation::Invalid(format!("The body is not valid JSON: {error}."))),
            (None, Ok(())) => Ok(()),
        }
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
    fn required(&self, rules: &[ParameterRule]) -> Option<usize> {
        let own = self.rules.iter().copied().find(|rule| rules[*rule].required);
        own.or_else(|| self.members.iter().find_map(|(_, node)| node.required(rules)))
    }
}

impl ParameterRule {
    fn violation(&self, rule: usize, problem: impl Into<String>) -> Violation {
        Violation::Parameter { rule, path: self.path.clone(), problem: problem.into() }
    }
}

/// Whether a value was there: null is none.
type IsThere = bool;

/// Reads one value.
struct Visit<'r, 'a> {
    rules: &'r [ParameterRule],
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
            if let Err(problem) = self.rules[*rule].check(value) {
                return Err(self.refuse(self.rules[*rule].violation(*rule, problem)));
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
            Some(rule) => Err(self.refuse(self.rules[rule].violation(rule, "is required"))),
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

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<IsThere, E> {
        #[expect(clippy::cast_precision_loss, reason = "a limit is not that exact")]
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<IsThere, E> {
        #[expect(clippy::cast_precision_loss, reason = "a limit is not that exact")]
        self.visit_f64(value as f64)
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
                let text = format!("The body has the name \"{name}\", which some take for \"{member}\".");
                return Err(self.refuse(Violation::Invalid(text)));
            }
            if seen[at].is_some() {
                let text = format!("The body has the name \"{member}\" twice.");
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
