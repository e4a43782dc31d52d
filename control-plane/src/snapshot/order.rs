//! Orders to the publisher, which may be another process: kept in the database,
//! where whoever has the lease finds them.

use super::error::PublishError;
use crate::store::{Store, orders};
use std::time::Duration;
use tokio::time::Instant;

const LOOK: Duration = Duration::from_millis(50);

/// The number of the order.
pub(super) async fn place(store: &Store, kind: orders::Kind) -> Result<i64, PublishError> {
    let mut tx = store.write().await?;
    let order = orders::place(&mut tx, kind).await?;
    tx.commit().await?;
    Ok(order)
}

/// Waits until the order is carried out; the error is the publisher's.
pub(super) async fn wait(
    store: &Store,
    kind: orders::Kind,
    order: i64,
    patience: Duration,
) -> Result<(), PublishError> {
    let start = Instant::now();
    while start.elapsed() < patience {
        let mut tx = store.read().await?;
        if let Some(outcome) = orders::outcome(&mut tx, kind, order).await? {
            return outcome.map_err(PublishError::Told);
        }
        drop(tx);
        tokio::time::sleep(LOOK).await;
    }
    Err(PublishError::Unanswered(patience))
}
