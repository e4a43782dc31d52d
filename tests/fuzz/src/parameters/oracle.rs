//! What a body is to be answered with, by the values that `serde_json` reads at the rules' paths.

use super::text::{Kind, Text};
use serde_json::Value;
use shared::policy::{Code, Owner, ParameterRule, Policy, matches};

/// How it is refused, by whose rule, and about which parameter.
pub(super) type Told = Option<(Code, Owner, String, Option<String>)>;

pub(super) enum Expected {
    Exactly(Told),
    /// What is no JSON may offend against a rule before it breaks off.
    SomeRefusal,
}

/// Stands for each element of an array in what a rule's path is made of.
const EACH: &str = "[]";

struct Ruled<'p> {
    owner: Owner,
    number: usize,
    rule: &'p ParameterRule,
}

/// A rule whose path leads to a value, or on from there.
#[derive(Clone)]
struct Led<'p> {
    rule: usize,
    rest: Vec<&'p str>,
}

enum Offence {
    Invalid,
    Against(usize),
}

type Judged = Result<(), Offence>;

pub(super) fn expected(policies: &[(Owner, Policy)], endpoint: &str, body: &[u8]) -> Expected {
    let rules: Vec<Ruled<'_>> = policies
        .iter()
        .flat_map(|(owner, policy)| {
            policy.parameters.iter().enumerate().map(|(number, rule)| Ruled { owner: *owner, number, rule })
        })
        .filter(|rule| rule.rule.endpoints.iter().any(|pattern| matches(pattern, endpoint)))
        .collect();
    let paths: Vec<String> = rules.iter().map(|rule| rule.rule.path.replace(EACH, ".[]")).collect();
    let led = paths.iter().enumerate().map(|(rule, path)| Led { rule, rest: path.split('.').collect() });
    let led: Vec<Led<'_>> = led.collect();
    let judged = match Text::new(body) {
        Some(text) => judge(&rules, &led, text),
        None if body.is_empty() => there(&rules, &led),
        None => return Expected::SomeRefusal,
    };
    Expected::Exactly(judged.err().map(|offence| match offence {
        Offence::Invalid => (Code::InvalidBody, rules[0].owner, rules[0].place(), None),
        Offence::Against(rule) => {
            let rule = &rules[rule];
            (Code::ParamNotAllowed, rule.owner, rule.place(), Some(rule.rule.path.clone()))
        }
    }))
}

impl Ruled<'_> {
    fn place(&self) -> String {
        format!("parameters[{}]", self.number)
    }
}

fn judge(rules: &[Ruled<'_>], led: &[Led<'_>], text: Text<'_>) -> Judged {
    if led.is_empty() {
        return Ok(());
    }
    match text.kind() {
        Kind::Object(members) => {
            let led = only_element_too(led);
            suit(rules, &led, None)?;
            judge_members(rules, &led, members)
        }
        Kind::Array(items) => {
            suit(rules, led, None)?;
            there(rules, &beyond(led))?;
            items.into_iter().try_for_each(|item| judge(rules, &follow(led, EACH), item))
        }
        Kind::Leaf => match text.leaf().ok_or(Offence::Invalid)? {
            Value::Null => there(rules, led),
            leaf => {
                let led = only_element_too(led);
                suit(rules, &led, Some(&leaf))?;
                there(rules, &beyond(&led))
            }
        },
    }
}

fn judge_members(rules: &[Ruled<'_>], led: &[Led<'_>], members: Vec<(Text<'_>, Text<'_>)>) -> Judged {
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in members {
        let Some(Value::String(name)) = name.leaf() else { return Err(Offence::Invalid) };
        let is_asked = |name: &str| led.iter().any(|led| led.rest.first() == Some(&name) && name != EACH);
        let is_like = |led: &Led<'_>| led.rest.first().is_some_and(|asked| asked.eq_ignore_ascii_case(&name));
        if !is_asked(&name) {
            if name != EACH && led.iter().any(is_like) {
                return Err(Offence::Invalid);
            }
            continue;
        }
        if seen.contains(&name) {
            return Err(Offence::Invalid);
        }
        judge(rules, &follow(led, &name), value)?;
        seen.push(name);
    }
    let is_missing = |led: &Led<'_>| !seen.iter().any(|name| led.rest[0] == name);
    let missing: Vec<_> = beyond(led).into_iter().filter(is_missing).collect();
    there(rules, &missing)
}

/// Those that the next step leads further.
fn follow<'p>(led: &[Led<'p>], step: &str) -> Vec<Led<'p>> {
    let further = led.iter().filter(|led| led.rest.first() == Some(&step));
    further.map(|led| Led { rule: led.rule, rest: led.rest[1..].to_vec() }).collect()
}

/// What is no array is as good as one that has nothing else in it.
fn only_element_too<'p>(led: &[Led<'p>]) -> Vec<Led<'p>> {
    [led, &follow(led, EACH)].concat()
}

/// Those that are not about this value, but about something in it.
fn beyond<'p>(led: &[Led<'p>]) -> Vec<Led<'p>> {
    led.iter().filter(|led| !led.rest.is_empty()).cloned().collect()
}

/// Whether all can do without a value. Of an array's elements there may be none.
fn there(rules: &[Ruled<'_>], led: &[Led<'_>]) -> Judged {
    let cannot = led.iter().find(|led| rules[led.rule].rule.required && !led.rest.contains(&EACH));
    cannot.map_or(Ok(()), |led| Err(Offence::Against(led.rule)))
}

/// Whether a value, an object or array where it is none, is as the rules about it want it.
fn suit(rules: &[Ruled<'_>], led: &[Led<'_>], leaf: Option<&Value>) -> Judged {
    let about = led.iter().filter(|led| led.rest.is_empty());
    let offended = about.map(|led| led.rule).find(|rule| !suits(rules[*rule].rule, leaf));
    offended.map_or(Ok(()), |rule| Err(Offence::Against(rule)))
}

fn suits(rule: &ParameterRule, leaf: Option<&Value>) -> bool {
    if rule.forbidden {
        return false;
    }
    if rule.min.is_some() || rule.max.is_some() {
        let Some(number) = leaf.and_then(Value::as_f64) else { return false };
        if rule.min.is_some_and(|min| number < min) || rule.max.is_some_and(|max| number > max) {
            return false;
        }
    }
    if rule.allow.is_none() && rule.deny.is_empty() {
        return true;
    }
    let Some(text) = leaf.map(written) else { return false };
    let is_like = |patterns: &[String]| patterns.iter().any(|pattern| like(pattern, &text));
    rule.allow.as_deref().is_none_or(is_like) && !is_like(&rule.deny)
}

fn written(leaf: &Value) -> String {
    match leaf {
        Value::String(text) => text.clone(),
        // 1.0 is a whole number too.
        Value::Number(number) if number.is_f64() => number.as_f64().unwrap().to_string(),
        other => other.to_string(),
    }
}

fn like(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    text.strip_prefix(start)
        .is_some_and(|text| rest.is_empty() || text.char_indices().any(|(at, _)| like(rest, &text[at..])))
}
