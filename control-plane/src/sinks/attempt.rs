//! Delivers one event while somebody waits for the answer.

use super::SinkError;
use super::kind::Surroundings;
use super::open::open;
use crate::domain::events::Listed;
use crate::store::sinks::SinkRow;
use crate::vault::Vault;
use std::time::Duration;

/// Whatever the sink's own limit is: who waits is answered within 30 seconds.
const LONGEST: Duration = Duration::from_secs(20);

pub async fn attempt(
    row: &SinkRow,
    vault: &Vault,
    surroundings: &Surroundings,
    event: Listed,
) -> Result<(), SinkError> {
    let sink = open(row, vault, surroundings).map_err(SinkError::unavailable)?;
    let limit = Duration::from_secs(row.timeout_seconds.cast_unsigned()).min(LONGEST);
    let events = [event];
    let answer = tokio::time::timeout(limit, sink.deliver(&events)).await;
    answer.unwrap_or_else(|_| {
        Err(SinkError::unavailable(format!("it did not answer within {} s", limit.as_secs())))
    })
}
