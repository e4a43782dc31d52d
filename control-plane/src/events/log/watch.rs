//! Looks each minute at how the log is set up, and tells when that changes.

use super::durability::Durability;
use super::{EventLog, LogError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

const EVERY: Duration = Duration::from_mins(1);

/// Now, and each minute until nobody listens. Of a log that does not answer,
/// what was known last stays.
pub async fn watch(log: Arc<dyn EventLog>, known: watch::Sender<Option<Durability>>) {
    let mut is_failing = false;
    loop {
        let found = log.check().await;
        let fails = matches!(&found, Err(error) if !matches!(error, LogError::Lossy(_)));
        match found {
            Ok(durability) | Err(LogError::Lossy(durability)) => tell(&known, durability),
            Err(error) if !is_failing => tracing::error!("event log: {error}"),
            Err(_) => {}
        }
        is_failing = fails;
        tokio::select! {
            () = known.closed() => return,
            () = sleep(EVERY) => {}
        }
    }
}

fn tell(known: &watch::Sender<Option<Durability>>, durability: Durability) {
    known.send_if_modified(|before| {
        let is_new = before.as_ref() != Some(&durability);
        if is_new {
            if durability.is_lossless() {
                tracing::info!("event log: {durability}");
            } else {
                tracing::warn!("event log: {durability}");
            }
            *before = Some(durability);
        }
        is_new
    });
}
