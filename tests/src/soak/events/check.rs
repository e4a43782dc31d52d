//! Compares what the control plane stored with what was sent.

use super::client::{Client, Sent};
use super::files;
use super::rig::Rig;
use control_plane::money::NanoDollars;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Fields that events and their sums have by one name.
const ADDED: [&str; 7] = [
    "requests",
    "bytes_in",
    "bytes_out",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "reasoning_tokens",
];
/// Of those: US dollars, requests without a price, requests with an estimate.
type Sums = [u64; ADDED.len() + 3];
/// By what an event is grouped.
type Key = fn(&Value) -> String;

/// What is in the database.
#[derive(Debug)]
pub struct Stored {
    pub events: HashMap<String, Value>,
    pub status: Value,
    problems: Vec<String>,
}

impl Stored {
    pub async fn read(rig: &Rig) -> Self {
        let lines = rig.caller().text("/manage/events?format=jsonl").await;
        let (mut events, mut problems) = (HashMap::new(), Vec::new());
        for line in lines.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            if let Some(twice) = events.insert(event["id"].as_str().unwrap().to_owned(), event) {
                problems.push(format!("twice in the list: {twice}"));
            }
        }
        Self { events, status: rig.get("/manage/events/status").await, problems }
    }

    /// Requests of which it is known whose they were.
    pub fn known(&self) -> impl Iterator<Item = &Value> {
        self.events.values().filter(|event| !event["token_id"].is_null())
    }

    /// Requests of nobody, which share events.
    pub fn anonymous(&self) -> u64 {
        let of_nobody = self.events.values().filter(|event| event["token_id"].is_null());
        of_nobody.map(|event| event["requests"].as_u64().unwrap()).sum()
    }

    /// Each request that was answered has its event, and there are no others.
    pub fn matches(&mut self, client: &Client) {
        let sent: Vec<&Sent> = client.sent.iter().filter(|sent| !sent.kind.is_anonymous()).collect();
        let mut problems = Vec::new();
        for sent in &sent {
            match sent.id.as_ref().map(|id| self.events.get(id)) {
                None => problems.push(format!("not answered: {sent:?}")),
                Some(None) => problems.push(format!("lost: {sent:?}")),
                Some(Some(event)) => problems.extend(contradiction(sent, event, client)),
            }
        }
        if self.known().count() != sent.len() {
            problems.push(format!("{} events of {} requests", self.known().count(), sent.len()));
        }
        let anonymous = client.sent.len() - sent.len();
        if self.anonymous() != anonymous as u64 {
            problems.push(format!("{anonymous} refusals of nobody were counted as {}", self.anonymous()));
        }
        self.problems.extend(problems);
    }

    /// The sums are those of the events, by whatever they are grouped.
    pub async fn adds_up(&mut self, rig: &Rig) {
        let hour = |event: &Value| event["started_at"].as_str().unwrap()[..13].to_owned();
        let day = |event: &Value| event["started_at"].as_str().unwrap()[..10].to_owned();
        let model = |event: &Value| {
            let name = [&event["model"], &event["model_requested"]].into_iter().find(|name| !name.is_null());
            name.map_or_else(|| "null".to_owned(), Value::to_string)
        };
        let groups: [(&str, Key); 5] = [
            ("", |_| String::new()),
            ("model", model),
            ("token", |event| event["token_id"].to_string()),
            ("hour", hour),
            ("day", day),
        ];
        for (name, key) in groups {
            let mut expected: BTreeMap<String, Sums> = BTreeMap::new();
            for event in self.events.values() {
                add(expected.entry(key(event)).or_default(), &sums_of_event(event));
            }
            let usage = rig.get(&format!("/manage/usage?group_by={name}&limit=10000")).await;
            let mut told: BTreeMap<String, Sums> = BTreeMap::new();
            for group in usage["data"].as_array().unwrap() {
                let key = match name {
                    "" => String::new(),
                    "hour" => group[name].as_str().unwrap()[..13].to_owned(),
                    "day" => group[name].as_str().unwrap()[..10].to_owned(),
                    "token" => group["token_id"].to_string(),
                    _ => group[name].to_string(),
                };
                add(told.entry(key).or_default(), &sums_of_group(group));
            }
            if told != expected {
                self.problems.push(format!("by {name:?}: {told:?}, not {expected:?}"));
            }
        }
    }

    /// What tokens say of their use is what events say.
    pub async fn agrees_with_tokens(&mut self, rig: &Rig) {
        for (id, _) in &rig.tokens.valid {
            let of_token = self.known().filter(|event| event["token_id"] == **id).count();
            let told = rig.get(&format!("/manage/tokens/{id}")).await["request_count"].clone();
            if told != of_token {
                self.problems.push(format!("token {id} tells of {told} requests, {of_token} events"));
            }
        }
    }

    /// A sink wrote each into one of the files in `folder`, at least once.
    pub fn are_in_files(&mut self, folder: &Path) {
        let ids = files::ids(folder);
        let missing = self.events.keys().filter(|id| !ids.contains(*id));
        self.problems.extend(missing.map(|id| format!("not in a file: {id}")));
    }

    /// Nothing is missing, waits, or was no event.
    pub fn is_settled(&mut self) {
        for field in ["waiting_batches", "missing", "set_aside"] {
            if self.status[field] != 0 {
                self.problems.push(format!("{field}: {}", self.status));
            }
        }
    }

    pub fn assert_no_problems(&self) {
        let Self { problems, status, .. } = self;
        assert!(
            problems.is_empty(),
            "{} problems, {status}: {:#?}",
            problems.len(),
            &problems[..problems.len().min(20)]
        );
    }
}

/// What an event says that is not so.
pub fn contradiction(sent: &Sent, event: &Value, client: &Client) -> Option<String> {
    let kind = &sent.kind;
    let told = (&event["status"], &event["completion"], event["error_code"].as_str());
    let is_told = told == (&kind.status.into(), &kind.completion.into(), kind.error_code);
    // What is compressed is counted before it is.
    let is_counted = kind.completion == "complete" && kind.options != "fault=gzip";
    let is_right_long = !is_counted || event["bytes_out"].as_u64() == sent.bytes;
    let is_owned = sent.token.as_ref().is_none_or(|token| event["token_id"] == **token);
    (!is_told || !is_right_long || !is_owned || !is_tokens_right(sent, event, client))
        .then(|| format!("{sent:?}, served {:?}: {event}", client.served(sent)))
}

/// The tokens are the upstream's; where it told of none, they may be estimated.
fn is_tokens_right(sent: &Sent, event: &Value, client: &Client) -> bool {
    // The upstream may have said more than a client heard that left.
    if sent.kind.leaves {
        return true;
    }
    let is_estimated = event["usage_source"] == "estimated";
    let served = client.served(sent).unwrap_or_default();
    [("input_tokens", served.input), ("output_tokens", served.output)].into_iter().all(|(field, served)| {
        let told = event[field].as_u64();
        told == served || (served.is_none() && is_estimated)
    })
}

fn sums_of_event(event: &Value) -> Sums {
    let requests = event["requests"].as_u64().unwrap();
    let unpriced = if event["cost_usd"].is_null() { requests } else { 0 };
    let estimated = if event["usage_source"] == "estimated" { requests } else { 0 };
    sums(event, [unpriced, estimated])
}

fn sums_of_group(group: &Value) -> Sums {
    let number = |field: &str| group[field].as_u64().unwrap();
    sums(group, [number("unpriced_requests"), number("estimated_requests")])
}

fn sums(of: &Value, [unpriced, estimated]: [u64; 2]) -> Sums {
    let cost = of["cost_usd"].as_str().map_or(NanoDollars(0), |cost| cost.parse().unwrap());
    let added = ADDED.iter().map(|field| of[field].as_u64().unwrap_or_default());
    let all: Vec<u64> = added.chain([cost.0.try_into().unwrap(), unpriced, estimated]).collect();
    all.try_into().unwrap()
}

fn add(to: &mut Sums, more: &Sums) {
    to.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}
