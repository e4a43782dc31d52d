//! Resident memory that grows with requests.

use super::load;
use super::report::Row;
use super::rig::Rig;
use crate::workerd::Workerd;

const FROM: usize = 20_000;
const TO: usize = 200_000;

pub async fn growth(rig: &Rig) -> Row {
    let edge = per_request(rig, &rig.edge()).await;
    let floor = per_request(rig, &rig.floor()).await;
    Row {
        what: format!("resident memory grown a request, {FROM} to {TO}"),
        measured: format!("{edge:.1} B"),
        beside: format!("JavaScript: {floor:.1} B"),
        ratio: None,
        to_reach: "at most 50 B more".into(),
        is_reached: edge - floor <= 50.0,
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
