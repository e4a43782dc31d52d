//! `/manage/usage`

use super::World;
use crate::edge::Isolate;
use axum::http::StatusCode;
use control_plane::clock;
use control_plane::timestamp::Timestamp;
use serde_json::{Value, json};
use shared::event::{Completion, Event, Usage, UsageSource};
use std::collections::BTreeMap;
use uuid::Uuid;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

async fn usage(world: &World, query: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut path = format!("/manage/usage?{query}");
    loop {
        let page = world.get(&path).await.ok(StatusCode::OK);
        all.extend(page["data"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { return all };
        path = format!("/manage/usage?{query}&cursor={cursor}");
    }
}

/// Repeatable chance.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.roll(all.len() as u64)).unwrap()]
    }

    fn some(&mut self, sides: u64) -> Option<u64> {
        (self.roll(3) > 0).then(|| self.roll(sides))
    }
}

struct Made {
    events: Vec<Event>,
    now: u64,
}

/// Events of several days, projects, tokens, models and ends.
fn made(seed: u64, count: usize) -> Made {
    let mut dice = Dice(seed);
    let mut isolate = Isolate::new();
    let now = clock::now();
    let projects = [1, 2].map(crate::edge::new_id);
    let tokens: Vec<(Uuid, Uuid)> = (0..5).map(|at| (projects[at % 2], crate::edge::new_id(9))).collect();
    let events = (0..count)
        .map(|_| {
            let started_at = now - 3_000 - dice.roll(5 * DAY_MS);
            let owner = (dice.roll(8) > 0).then(|| dice.of(&tokens));
            let is_known = dice.roll(4) > 0;
            let usage = Usage {
                input_tokens: Some(dice.roll(5_000)),
                output_tokens: dice.some(5_000),
                cached_input_tokens: dice.some(2_000),
                reasoning_tokens: dice.some(100),
            };
            Event {
                count: if owner.is_none() { 1 + u32::try_from(dice.roll(9)).unwrap() } else { 1 },
                project_id: owner.map(|(project, _)| project),
                token_id: owner.map(|(_, token)| token),
                provider: owner.map(|_| dice.of(&["openai", "anthropic"]).to_owned()),
                model: (dice.roll(5) > 0).then(|| dice.of(&["gpt-4o", "claude-sonnet-5", "x"]).to_owned()),
                status: dice.of(&[200, 200, 200, 429, 500]),
                completion: dice.of(&[
                    Completion::Complete,
                    Completion::Complete,
                    Completion::Truncated,
                    Completion::Aborted,
                ]),
                bytes_in: dice.roll(10_000),
                bytes_out: dice.roll(100_000),
                usage: if is_known { usage } else { Usage::default() },
                usage_source: if is_known { UsageSource::Reported } else { UsageSource::None },
                // Not estimated, so that the sums are those of what was sent.
                endpoint: "/v1/rerank".into(),
                ..isolate.event_at(started_at)
            }
        })
        .collect();
    Made { events, now }
}

type Row = (Value, Value, Value, Value, Value);

/// The sums as they should be: by the fields that a group has.
fn expected(events: &[Event], group_by: &str) -> BTreeMap<String, (u64, u64, u64, u64, u64, u64)> {
    let mut sums = BTreeMap::new();
    for event in events {
        let model = event.model.clone().or_else(|| event.model_requested.clone());
        let unit = if group_by.contains("hour") { HOUR_MS } else { DAY_MS };
        let by = |name| group_by.contains(name);
        let key: Row = (
            if by("hour") || by("day") {
                json!(Timestamp(event.started_at / unit * unit))
            } else {
                json!(null)
            },
            if by("project") || by("token") { json!(event.project_id) } else { json!(null) },
            if by("token") { json!(event.token_id) } else { json!(null) },
            if by("provider") { json!(event.provider) } else { json!(null) },
            if by("model") { json!(model) } else { json!(null) },
        );
        let sum: &mut (u64, u64, u64, u64, u64, u64) = sums.entry(json!(key).to_string()).or_default();
        sum.0 += u64::from(event.count);
        sum.1 += event.bytes_in;
        sum.2 += event.bytes_out;
        sum.3 += event.usage.input_tokens.unwrap_or(0);
        sum.4 += event.usage.output_tokens.unwrap_or(0);
        sum.5 += event.usage.cached_input_tokens.unwrap_or(0) + event.usage.reasoning_tokens.unwrap_or(0);
    }
    sums
}

fn found(groups: &[Value]) -> BTreeMap<String, (u64, u64, u64, u64, u64, u64)> {
    let number = |group: &Value, field: &str| group[field].as_u64().unwrap();
    let mut sums = BTreeMap::new();
    for group in groups {
        let time = if group["hour"].is_null() { &group["day"] } else { &group["hour"] };
        let key = json!([time, group["project_id"], group["token_id"], group["provider"], group["model"]]);
        let sum = (
            number(group, "requests"),
            number(group, "bytes_in"),
            number(group, "bytes_out"),
            number(group, "input_tokens"),
            number(group, "output_tokens"),
            number(group, "cached_input_tokens") + number(group, "reasoning_tokens"),
        );
        assert!(sums.insert(key.to_string(), sum).is_none(), "{group} is there twice");
    }
    sums
}

#[tokio::test]
async fn sums_are_those_of_the_events_however_they_are_grouped() {
    let world = World::start().await;
    for seed in 1..=3 {
        let Made { mut events, .. } = made(seed, 400);
        // In batches that overlap, and some twice.
        for batch in events.chunks(90) {
            world.events(batch).await;
        }
        world.events(&events[50..250]).await;
        if seed > 1 {
            // The sums go on from those before.
            let list = world.get("/manage/usage?from=2020-01-01T00:00:00Z").await.ok(StatusCode::OK);
            let before = list["data"][0]["requests"].as_u64().unwrap();
            assert!(before > events.iter().map(|event| u64::from(event.count)).sum());
            continue;
        }
        for group_by in [
            "",
            "day",
            "hour",
            "project",
            "token",
            "provider",
            "model",
            "token,day",
            "model,day",
            "project,hour",
            "token,model,hour",
            "provider,model",
            "project,token,provider,model,day",
            "provider,day",
            "token,provider",
        ] {
            for limit in ["", "&limit=7"] {
                let query = format!("group_by={group_by}&from=2020-01-01T00:00:00Z{limit}");
                let groups = usage(&world, &query).await;
                assert_eq!(found(&groups), expected(&events, group_by), "{query}");
            }
        }
        events.clear();
    }
}

#[tokio::test]
async fn a_range_is_of_whole_hours_or_days() {
    let world = World::start().await;
    let Made { events, now } = made(7, 600);
    world.events(&events).await;
    for (from, to) in [
        (now - 3 * DAY_MS, now),
        (now - 50 * HOUR_MS - 12_345, now - 3 * HOUR_MS),
        (now - 30 * HOUR_MS, now - 29 * HOUR_MS),
        (now / DAY_MS * DAY_MS - 2 * DAY_MS, now / DAY_MS * DAY_MS),
        (now - 10 * DAY_MS, now - 9 * DAY_MS),
    ] {
        let range = format!("from={}&to={}", Timestamp(from), Timestamp(to));
        for (group_by, unit) in
            [("", HOUR_MS), ("token", HOUR_MS), ("model,hour", HOUR_MS), ("token,day", DAY_MS)]
        {
            let (from, to) = (from / unit * unit, to.div_ceil(unit) * unit);
            let within: Vec<Event> =
                events.iter().filter(|event| (from..to).contains(&event.started_at)).cloned().collect();
            let groups = usage(&world, &format!("group_by={group_by}&{range}")).await;
            assert_eq!(found(&groups), expected(&within, group_by), "{group_by} {range}");
        }
    }
    let of = events.iter().find_map(|event| event.token_id).unwrap();
    let within: Vec<Event> = events.iter().filter(|event| event.token_id == Some(of)).cloned().collect();
    for group_by in ["", "day", "token,hour"] {
        let groups = usage(&world, &format!("group_by={group_by}&token_id={of}")).await;
        assert_eq!(found(&groups), expected(&within, group_by));
    }
    let project = within[0].project_id.unwrap();
    let within: Vec<Event> =
        events.iter().filter(|event| event.project_id == Some(project)).cloned().collect();
    let groups = usage(&world, &format!("group_by=model,day&project_id={project}")).await;
    assert_eq!(found(&groups), expected(&within, "model,day"));
}

#[tokio::test]
async fn a_group_has_the_fields_that_it_is_made_by() {
    let world = World::start().await;
    world.events(&[Isolate::new().event()]).await;
    let fields = async |group_by: &str| {
        let groups = usage(&world, &format!("group_by={group_by}")).await;
        groups[0].as_object().unwrap().clone()
    };
    let all = fields("").await;
    assert!(
        ["hour", "day", "project_id", "token_id", "provider", "model"]
            .iter()
            .all(|name| !all.contains_key(*name))
    );
    let by_token = fields("token,day").await;
    assert!(by_token["token_id"].is_null() && by_token["day"].is_string() && !by_token.contains_key("model"));
    for bad in [
        "group_by=status",
        "group_by=hour,day",
        "from=now",
        "limit=0",
        "limit=10001",
        "cursor=AAAA",
        "page=1",
        "from=2030-01-02T00:00:00Z&to=2030-01-01T00:00:00Z",
    ] {
        world.get(&format!("/manage/usage?{bad}")).await.error(400, "invalid_request");
    }
    assert!(usage(&world, "from=2000-01-01T00:00:00Z&to=2001-01-01T00:00:00Z&group_by=day").await.is_empty());
}
