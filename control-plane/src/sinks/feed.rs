//! What a sink is given next: events in the order in which they were counted.

use crate::domain::events::Listed;
use crate::store::event_bodies::{self, BodyRow};
use crate::store::{self, Store, events};
use std::collections::HashMap;
use uuid::Uuid;

/// Characters of bodies in one batch, so that memory is bounded.
const MAX_BODIES: i64 = 4 * 1024 * 1024;

#[derive(Clone, Debug)]
pub struct Batch {
    pub events: Vec<Listed>,
    /// The position of the last of them.
    pub to: i64,
    /// Positions of which the events are no longer kept.
    pub skipped: i64,
}

/// Up to `limit` events after a position; none where there are none yet. Where
/// all that there were are no longer kept, a batch without events.
pub async fn after(store: &Store, position: i64, limit: i64) -> Result<Option<Batch>, store::Error> {
    let mut tx = store.read().await?;
    let mut rows = events::after(&mut tx, position, limit).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.event.id).collect();
    let sizes: HashMap<Uuid, i64> = event_bodies::sizes(&mut tx, &ids).await?.into_iter().collect();
    let mut bodies = 0;
    let within = ids.iter().take_while(|id| {
        bodies += sizes.get(*id).copied().unwrap_or_default();
        bodies <= MAX_BODIES
    });
    let length = within.count().max(1);
    rows.truncate(length);
    let to = match rows.last() {
        Some(last) => last.position,
        None => events::last_position(&mut tx).await?,
    };
    if to <= position {
        return Ok(None);
    }
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let with_bodies: Vec<Uuid> = ids.into_iter().take(length).filter(|id| sizes.contains_key(id)).collect();
    let bodies = event_bodies::of(&mut tx, &with_bodies).await?;
    let mut bodies: HashMap<Uuid, BodyRow> = bodies.into_iter().map(|row| (row.event_id, row)).collect();
    let events = rows
        .into_iter()
        .map(|row| Listed { bodies: bodies.remove(&row.event.id), event: row.event })
        .collect();
    Ok(Some(Batch { events, to, skipped: to - position - count }))
}
