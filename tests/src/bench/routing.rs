//! What it costs that a request has several ways to go.

use super::cost::{Effort, side_by_side};
use super::load::{self, Target};
use super::policy;
use super::report::{Row, median, millis};
use super::rig::Rig;
use crate::crowd::{self, Crowd};
use crate::fixture;
use serde_json::{Value, json};
use shared::provider::Api;
use shared::snapshot::config::CarriedRoute;
use shared::snapshot::manifest::Manifest;
use std::time::{Duration, Instant};

const MODEL: &str = "gpt-example+chunks=20,pace=0";
const ROUTED: &str = "fast";

const PROJECTS: u32 = 10_000;
const CREDENTIALS: u32 = 100;
const ROUTES: usize = 100;

/// Nothing listens there.
const DEAD: &str = "http://127.0.0.1:9";
/// One more failure in a row, and a target is not asked at first.
const FAILURES: usize = 4;
const LIMIT: Duration = Duration::from_millis(2);

pub async fn rows(effort: Effort) -> Vec<Row> {
    vec![whole_path(effort).await, among_many(effort).await, failover(effort).await, resumable(effort).await]
}

async fn whole_path(effort: Effort) -> Row {
    let rig = Rig::shaped(|manifest| {
        let targets =
            [json!({"provider": "openai", "model": MODEL}), json!({"provider": "other", "model": MODEL})];
        let same = manifest.delta.providers.as_ref().unwrap().providers[0].base_url.clone();
        second_provider(manifest, "other", &same);
        manifest.delta.projects[0].routes = vec![route(ROUTED, &targets)];
        policy::judge(manifest);
    })
    .await;
    let (edge, floor) = (rig.edge(), rig.floor());
    let to_edge = policy::chat(&rig, &edge.url("/openai"), ROUTED, 700);
    let to_floor = policy::chat(&rig, &floor.url("/openai"), MODEL, 700);
    policy::assert_judged(&to_edge).await;
    let [routed, forwarded] = side_by_side([(&edge, &to_edge), (&floor, &to_floor)], effort, 45_000).await;
    let what = "CPU per request, three full policies, a route to two targets, its event made";
    Row::ratio(what, routed, "JavaScript, same header work, no check", forwarded, 2.0)
}

async fn among_many(effort: Effort) -> Row {
    let asked = |rig: &Rig, base: String| policy::chat(rig, &base, ROUTED, 700);
    let targets = [json!({"provider": crowd::PROVIDER, "model": MODEL})];
    let few =
        Rig::of_one(&Crowd::new(1, 1, 1), 0, |project, _| project.routes = vec![route(ROUTED, &targets)])
            .await;
    let crowd = Crowd::new(u64::from(PROJECTS), PROJECTS, 1);
    let many = Rig::of_one(&crowd, u64::from(PROJECTS / 2), |project, provider| {
        let with_more = Crowd::new(0, PROJECTS, CREDENTIALS);
        project.credentials = with_more.project(project.number, provider).credentials;
        project.routes = (1..ROUTES).map(|at| route(&format!("model-{at}"), &targets)).collect();
        project.routes.push(route(ROUTED, &targets));
    })
    .await;
    let (at_few, at_many) = (few.edge(), many.edge());
    let (to_few, to_many) = (asked(&few, at_few.url("")), asked(&many, at_many.url("")));
    let [of_few, of_many] = side_by_side([(&at_few, &to_few), (&at_many, &to_many)], effort, 45_000).await;
    let what =
        format!("CPU per routed request, {CREDENTIALS} credentials, {ROUTES} routes, {PROJECTS} projects");
    Row::ratio(&what, of_many, "one of each", of_few, 1.05)
}

/// What it costs that another may go on with a stream, where none has to.
async fn resumable(effort: Effort) -> Row {
    const STREAM: &str = "gpt-example+chunks=200,pace=0";
    let rig = Rig::shaped(|manifest| {
        let targets = [json!({"provider": "openai", "model": STREAM})];
        let resumed = json!({"name": "on", "match": ["on"], "resume": "verified", "targets": targets});
        let resumed = serde_json::from_value(resumed).unwrap();
        manifest.delta.projects[0].routes = vec![resumed, route("off", &targets)];
    })
    .await;
    let edge = rig.edge();
    let [on, off] = ["on", "off"].map(|model| rig.chat(&edge.url("/openai"), model, true));
    let [on, off] = side_by_side([(&edge, &on), (&edge, &off)], effort, 3_000).await;
    Row::ratio("CPU per 200-chunk stream that another may go on with", on, "with resume off", off, 3.0)
}

/// Each route's first target is another one, so that few know yet that it is dead.
async fn failover(effort: Effort) -> Row {
    let rig = Rig::shaped(|manifest| {
        second_provider(manifest, "dead", DEAD);
        let healthy = json!({"provider": "openai", "model": MODEL, "priority": 1});
        let dead = |at| json!({"provider": "dead", "model": format!("model-{at}")});
        let routes = &mut manifest.delta.projects[0].routes;
        *routes = (1..ROUTES).map(|at| route(&dead_route(at), &[dead(at), healthy.clone()])).collect();
        routes.push(route(ROUTED, &[healthy]));
    })
    .await;
    let edge = rig.edge();
    let target = |model: &str| policy::chat(&rig, &edge.url("/openai"), model, 700);
    let (client, direct) = (load::client(1), target(ROUTED));
    load::run(&direct, effort.of(200), 1).await;
    let (mut of_two, mut of_one) = (Vec::new(), Vec::new());
    for _ in 0..effort.of(FAILURES) {
        for at in 1..=effort.of(ROUTES - 1) {
            of_one.push(time(&client, &direct, "1").await);
            of_two.push(time(&client, &target(&dead_route(at)), "2").await);
        }
    }
    let asked = of_two.len();
    let (two, one) = (median(of_two), median(of_one));
    Row {
        what: format!("a request after a connection was refused, median of {asked}"),
        measured: millis(two),
        beside: format!("{}: the healthy target at once", millis(one)),
        ratio: None,
        to_reach: "at most 2 ms more".into(),
        is_reached: two <= one + LIMIT,
    }
}

fn dead_route(at: usize) -> String {
    format!("dead-{at}")
}

/// From the request to the end of its answer, which says after how many attempts it came.
async fn time(client: &reqwest::Client, target: &Target, attempts: &str) -> Duration {
    let started = Instant::now();
    let response = load::request(client, target, 0).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-latchkey-attempts"], attempts);
    response.bytes().await.unwrap();
    started.elapsed()
}

fn second_provider(manifest: &mut Manifest, name: &str, base_url: &str) {
    let providers = manifest.delta.providers.as_mut().unwrap();
    providers.providers.push(fixture::provider(name, Api::OpenAi, "authorization", "Bearer ", base_url));
    manifest.delta.projects = vec![fixture::project(1, providers)];
}

/// Of one model.
fn route(model: &str, targets: &[Value]) -> CarriedRoute {
    let route = serde_json::from_value(json!({"name": model, "match": [model], "targets": targets})).unwrap();
    assert!(matches!(route, CarriedRoute::Route(_)));
    route
}
