//! Writing objects to KV in bulk, while others are still being made.

use super::error::PublishError;
use super::kv::{KvClient, Pair};
use crate::back_off::{back_off, chance};
use std::collections::HashSet;
use std::time::Duration;
use tokio::task::JoinSet;

/// Of values in one bulk call, before Base64; KV takes 100 MB of Base64.
const CALL_LEN: usize = 4 * 1024 * 1024;
const CALL_PAIRS: usize = 1_000;
/// Calls under way at once, so that memory stays bounded.
const CALLS: usize = 2;
const DEADLINE: Duration = Duration::from_mins(1);
const ATTEMPTS: u32 = 6;

/// Its calls end when it is dropped.
#[derive(Debug)]
pub(super) struct Upload {
    kv: KvClient,
    /// Keys that need no upload.
    in_kv: HashSet<String>,
    pairs: Vec<Pair>,
    length: usize,
    calls: JoinSet<Result<(), PublishError>>,
}

impl Upload {
    pub(super) fn new(kv: KvClient, in_kv: HashSet<String>) -> Self {
        Self { kv, in_kv, pairs: Vec::new(), length: 0, calls: JoinSet::new() }
    }

    pub(super) async fn add(&mut self, objects: impl IntoIterator<Item = Pair>) -> Result<(), PublishError> {
        for object in objects {
            if self.in_kv.contains(&object.key) {
                continue;
            }
            self.length += object.value.len();
            self.pairs.push(object);
            if self.length >= CALL_LEN || self.pairs.len() == CALL_PAIRS {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// Returns once KV has taken everything.
    pub(super) async fn finish(mut self) -> Result<(), PublishError> {
        self.send().await?;
        while !self.calls.is_empty() {
            self.one_done().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), PublishError> {
        if self.calls.len() == CALLS {
            self.one_done().await?;
        }
        let pairs = std::mem::take(&mut self.pairs);
        self.length = 0;
        if !pairs.is_empty() {
            let kv = self.kv.clone();
            self.calls.spawn(async move { call(&kv, &pairs).await });
        }
        Ok(())
    }

    async fn one_done(&mut self) -> Result<(), PublishError> {
        match self.calls.join_next().await {
            Some(Ok(outcome)) => outcome,
            Some(Err(error)) => Err(PublishError::CutOff(error.to_string())),
            None => Ok(()),
        }
    }
}

/// Tries again by itself: to begin anew means to read the database again.
async fn call(kv: &KvClient, pairs: &[Pair]) -> Result<(), PublishError> {
    let mut failures = 0;
    while let Err(error) = kv.put_bulk(pairs, DEADLINE).await {
        failures += 1;
        if failures == ATTEMPTS {
            return Err(error.into());
        }
        let error = PublishError::from(error);
        tokio::time::sleep(back_off(failures, error.retry_after(), chance())).await;
    }
    Ok(())
}
