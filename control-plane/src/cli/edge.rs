//! `latchkey edge`

use super::table::{self, Column, text};
use super::{Failure, block_on, environment, print};
use crate::config::{self, EdgeApi};
use crate::timestamp::Timestamp;
use crate::{chance, clock};
use clap::Args;
use reqwest::redirect::Policy;
use serde_json::Value;
use shared::header;
use shared::signed_call::Call;
use std::path::Path;
use std::time::Duration;

const PATH: &str = "/healthz?verbose";
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(super) struct Edge {
    /// Where the edge answers [default: `EDGE_URL`, or `EDGE_PORT`, else 8787, of this machine]
    #[arg(long)]
    edge: Option<String>,
    /// For programs: what the edge says, as it is
    #[arg(long)]
    json: bool,
}

pub(super) fn run(edge: &Edge) -> Result<(), Failure> {
    let kept = |path: &Path| std::fs::read_to_string(path).ok();
    let api = config::edge_api(&environment, &kept, edge.edge.as_deref())?;
    let told = block_on(ask(&api))??;
    if told["status"].is_null() || told.get("snapshot").is_none() {
        return Err(Failure::new(format!("what answers at {} is no edge", api.url)));
    }
    let isolate = told.get("isolate").ok_or_else(|| {
        Failure::new(format!(
            "{} answers, and does not take the signature: EDGE_INGEST_KEY must be one that it has, and the \
             clocks must agree within minutes",
            api.url
        ))
    })?;
    if edge.json {
        print(&told);
        return Ok(());
    }
    let snapshot = &told["snapshot"];
    let memory = isolate["memory_bytes"].as_u64().unwrap_or_default();
    print(format!(
        "snapshot {}, {} s old; {} MB of memory",
        text(snapshot, "version"),
        text(snapshot, "age_seconds"),
        memory.div_ceil(1_000_000)
    ));
    match isolate["providers"].as_array().map(Vec::as_slice) {
        None | Some([]) => print("no key has given cause to be asked later"),
        Some(standings) => table::lines(&COLUMNS, standings, &[]).iter().for_each(print),
    }
    Ok(())
}

async fn ask(api: &EdgeApi) -> Result<Value, Failure> {
    let time = clock::now() / 1000;
    let nonce = u128::from_be_bytes(chance::bytes().map_err(Failure::new)?);
    let nonce = format!("{nonce:032x}");
    let call = Call { time, nonce: &nonce, method: "GET", path: PATH, body: b"" };
    let url = format!("{}{PATH}", api.url.as_str().trim_end_matches('/'));
    // The signature is for this place only.
    let http = reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(Policy::none())
        .build()
        .map_err(Failure::new)?;
    let asked = http
        .get(url)
        .header(header::CALL_TIME, time)
        .header(header::CALL_NONCE, &nonce)
        .header(header::CALL_SIGNATURE, call.sign(api.keys.primary()));
    let answer = asked.send().await;
    let answer = answer.map_err(|error| Failure::new(format!("{} is not reached: {error}", api.url)))?;
    // 503 where it has no snapshot yet: it says so itself.
    let told = answer.json().await;
    told.map_err(|_| Failure::new(format!("what answers at {} is no edge", api.url)))
}

const COLUMNS: [Column; 5] = [
    Column { title: "PROVIDER", is_number: false, text: |standing| text(standing, "provider") },
    Column { title: "CREDENTIAL", is_number: false, text: |standing| text(standing, "credential_id") },
    Column { title: "MODEL", is_number: false, text: |standing| text(standing, "model") },
    Column { title: "STATE", is_number: false, text: |standing| state(standing, clock::now()).0 },
    Column {
        title: "UNTIL",
        is_number: false,
        text: |standing| {
            state(standing, clock::now()).1.map_or("-".to_owned(), |at| Timestamp(at).to_string())
        },
    },
];

/// In words, and until when.
fn state(standing: &Value, now: u64) -> (String, Option<u64>) {
    let until = |field: &Value| field.as_u64().filter(|&at| at > now);
    let breaker = &standing["breaker"];
    let rests = until(&standing["cools_until"]);
    if let Some(at) = until(&breaker["until"]) {
        return (format!("left out ({})", text(breaker, "times")), Some(at).max(rests));
    }
    if rests.is_some() {
        return ("rests".to_owned(), rests);
    }
    match (breaker["state"].as_str(), until(&standing["low_until"]), breaker["failures"].as_u64()) {
        (Some("open"), ..) => ("may be probed".to_owned(), None),
        (Some("probing"), ..) => ("is probed".to_owned(), None),
        (_, Some(at), _) => ("near its limit".to_owned(), Some(at)),
        (_, None, Some(failures @ 1..)) => (format!("failed {failures} times in a row"), None),
        _ => ("well".to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_standing_in_words() {
        let of = |breaker: Value, cools: u64, low: u64| {
            state(&json!({"breaker": breaker, "cools_until": cools, "low_until": low}), 100)
        };
        let closed = |failures: u64| json!({"state": "closed", "failures": failures});
        let open = |until: u64| json!({"state": "open", "until": until, "times": 2});
        for (found, words, until) in [
            (of(closed(0), 100, 0), "well", None),
            (of(closed(3), 0, 0), "failed 3 times in a row", None),
            (of(closed(0), 101, 0), "rests", Some(101)),
            (of(closed(0), 0, 200), "near its limit", Some(200)),
            (of(open(150), 101, 0), "left out (2)", Some(150)),
            (of(open(150), 900, 0), "left out (2)", Some(900)),
            (of(open(100), 0, 0), "may be probed", None),
            (of(json!({"state": "probing", "since": 90, "times": 2}), 0, 0), "is probed", None),
        ] {
            assert_eq!(found, (words.to_owned(), until));
        }
    }
}
