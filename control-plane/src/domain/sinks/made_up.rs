//! An event of no request, by which a sink is tried.

use crate::chance;
use crate::domain::Result;
use crate::domain::events::Listed;
use crate::store::events::EventRow;
use shared::id::{self, UnixMs};
use uuid::Uuid;

/// Who gets it can tell it by this, and by its ids that are nil.
const ENDPOINT: &str = "/latchkey/test";
const TOOK_MS: i64 = 100;

pub(super) fn event(now: UnixMs) -> Result<Listed> {
    let ended_at = now.cast_signed();
    let started_at = (ended_at - TOOK_MS).max(0);
    let event = EventRow {
        id: id::new(now, &chance::bytes()?),
        isolate_id: Uuid::nil(),
        seq: 0,
        requests: 1,
        started_at,
        first_byte_at: Some(ended_at),
        ended_at,
        // Some kinds leave out what is of no project.
        project_id: Some(Uuid::nil()),
        token_id: Some(Uuid::nil()),
        provider: Some("latchkey".to_owned()),
        method: "POST".to_owned(),
        endpoint: ENDPOINT.to_owned(),
        model_requested: Some("latchkey-test".to_owned()),
        model: Some("latchkey-test".to_owned()),
        status: 200,
        error_code: None,
        attempts: "[]".to_owned(),
        bytes_in: 0,
        bytes_out: 0,
        input_tokens: Some(3),
        output_tokens: Some(5),
        cached_input_tokens: None,
        reasoning_tokens: None,
        usage_source: "reported".to_owned(),
        completion: "complete".to_owned(),
        snapshot_version: None,
        colo: None,
        country: None,
        cost: Some(0),
    };
    Ok(Listed { event, bodies: None })
}
