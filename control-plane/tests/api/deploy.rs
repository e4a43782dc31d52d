//! What is in `deploy/` and in docs/operations.md, against what `/metrics` tells.

use crate::database::Sqlite;
use crate::edge::Isolate;
use crate::recorder::sink;
use crate::scrape::Scrape;
use serde_json::Value;
use std::collections::BTreeMap;

type World = crate::world::World<Sqlite>;

const ALERTS: &str = include_str!("../../../deploy/prometheus/alerts.yml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/latchkey.json");
const OPERATIONS: &str = include_str!("../../../docs/operations.md");

/// After some traffic: a metric with labels is there once it has a value.
async fn scrape() -> Scrape {
    let world = World::start().await;
    world.project("a").await;
    sink(&world, "a", 10).await;
    world.post("/manage/snapshot/publish", serde_json::json!({})).await.ok(axum::http::StatusCode::OK);
    world.events(&[Isolate::new().event()]).await;
    Scrape::of(&world).await;
    Scrape::of(&world).await
}

/// Names and types, from the lines that tell them.
fn metrics(scrape: &Scrape) -> BTreeMap<&str, &str> {
    let types = scrape.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split_once(' ').unwrap()).collect()
}

/// Every name of a metric in a text.
fn named(text: &str) -> Vec<&str> {
    let words = text.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_'));
    words.filter(|word| word.starts_with("latchkey_")).collect()
}

fn is_told(name: &str, metrics: &BTreeMap<&str, &str>) -> bool {
    let of_histogram = ["_bucket", "_count", "_sum"].iter().any(|end| {
        name.strip_suffix(end).is_some_and(|name| metrics.get(name).is_some_and(|kind| *kind == "histogram"))
    });
    of_histogram || metrics.contains_key(name)
}

#[tokio::test]
async fn alerts_and_dashboard_name_metrics_that_there_are() {
    let scrape = scrape().await;
    let metrics = metrics(&scrape);
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter();
    let targets = targets.flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut queries: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    queries.extend(ALERTS.lines().filter_map(|line| line.trim().strip_prefix("expr: ")));
    for query in queries {
        let names = named(query);
        assert!(!names.is_empty(), "{query}");
        for name in names {
            assert!(is_told(name, &metrics), "{name} of {query} is not among {metrics:?}");
        }
    }
}

#[tokio::test]
async fn every_metric_is_described_and_no_other() {
    let scrape = scrape().await;
    let metrics = metrics(&scrape);
    let rows = OPERATIONS.lines().filter_map(|line| line.strip_prefix("| `latchkey_"));
    let described: Vec<String> =
        rows.map(|row| format!("latchkey_{}", row.split_once('`').unwrap().0)).collect();
    let mut sorted = described.clone();
    sorted.sort();
    assert_eq!(sorted, metrics.keys().copied().collect::<Vec<_>>());
    for (name, kind) in metrics {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        assert!(scrape.text.contains(&format!("# HELP {name} ")), "{name}");
    }
}

#[test]
fn every_alert_says_what_is_wrong_and_where_to_read_on() {
    let alerts: Vec<&str> = ALERTS.split("- alert: ").skip(1).collect();
    assert_eq!(alerts.len(), ALERTS.matches("alert:").count());
    let anchors: Vec<String> = OPERATIONS
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .collect();
    for alert in alerts {
        let field = |name: &str| {
            let mut lines = alert.lines().map(str::trim);
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        for name in ["expr", "for", "severity", "summary", "description"] {
            assert!(field(name).is_some_and(|text| !text.is_empty()), "{name} of {alert}");
        }
        let section = field("runbook_url").unwrap().strip_prefix("docs/operations.md#").unwrap();
        assert!(anchors.iter().any(|anchor| anchor == section), "{section}");
    }
}
