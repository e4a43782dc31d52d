//! Resident memory that grows with requests.

use super::load;
use super::report::Row;
use super::rig::Rig;
use crate::workerd::Workerd;

const FROM: usize = 20_000;
const TO: usize = 200_000;

pub async fn growth(rig: &Rig) -> Vec<Row> {
    let edge = per_request(rig, &rig.edge()).await;
    let silent = per_request(rig, &rig.edge_without_events()).await;
    let floor = per_request(rig, &rig.floor()).await;
    vec![
        row("events on", edge, "events off", silent, 100.0),
        row("events off", silent, "JavaScript", floor, 50.0),
    ]
}

fn row(of: &str, measured: f64, beside: &str, floor: f64, limit: f64) -> Row {
    Row {
        what: format!("resident memory grown a request, {FROM} to {TO}, {of}"),
        measured: format!("{measured:.1} B"),
        beside: format!("{beside}: {floor:.1} B"),
        ratio: None,
        to_reach: format!("at most {limit} B more"),
        is_reached: measured - floor <= limit,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for a table")]
async fn per_request(rig: &Rig, server: &Workerd) -> f64 {
    let target = rig.chat(&server.url("/openai"), "gpt-example+chunks=1,pace=0", false);
    load::run(&target, FROM, 16).await;
    let before = server.process().resident();
    load::run(&target, TO - FROM, 16).await;
    (server.process().resident() as f64 - before as f64) / (TO - FROM) as f64
}
