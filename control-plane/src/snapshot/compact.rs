//! Compaction: the whole database becomes immutable objects in KV.

use super::base::{Content, Cutter};
use super::error::PublishError;
use super::kv::{KvClient, Pair};
use super::pace;
use crate::clock;
use crate::store::snapshot::{self as rows, contents};
use crate::store::{Store, outbox};
use shared::id::UnixMs;
use std::collections::HashSet;
use std::time::Duration;
use uuid::Uuid;

/// How long the edge can say why a token that has ended is refused.
const KEEP_ENDED_MS: UnixMs = 24 * 60 * 60 * 1000;
const TOKENS_A_PAGE: u32 = 2_048;
const PROJECTS_A_PAGE: u32 = 64;
/// Of values in one bulk call, before Base64.
const UPLOAD_LEN: usize = 4 * 1024 * 1024;
const UPLOAD_PAIRS: usize = 1_000;
const UPLOAD_DEADLINE: Duration = Duration::from_mins(1);
const UPLOAD_ATTEMPTS: u32 = 6;

/// A base whose objects are all in KV.
#[derive(Debug)]
pub(super) struct Compiled {
    content: Content,
    /// The outbox rows whose changes are in it.
    seqs: Vec<i64>,
}

/// When a base may be named by a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// Once its objects have reached every location: a read that comes too
    /// early is remembered as missing there.
    Settled,
    /// At once: KV has nothing else that an edge could go on with.
    AtOnce,
}

/// Compiles and uploads, except objects whose key is `in_kv` already. Tables
/// and outbox are read in one transaction, so the base includes exactly the
/// changes of the outbox rows seen; nothing is on record until it is kept.
pub(super) async fn compile(
    store: &Store,
    kv: &KvClient,
    in_kv: &HashSet<String>,
    now: UnixMs,
) -> Result<Compiled, PublishError> {
    let mut tx = store.read().await?;
    let seqs = outbox::visible(&mut tx).await?;
    let mut cutter = Cutter::default();
    let mut upload = Upload { kv, in_kv, pairs: Vec::new(), length: 0 };

    let ended_before = now.saturating_sub(KEEP_ENDED_MS);
    let mut after = Uuid::nil();
    loop {
        let page = contents::token_page(&mut tx, after, ended_before, TOKENS_A_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id();
        for record in page {
            upload.add(cutter.token(record)).await?;
        }
    }
    let mut after = -1;
    loop {
        let page = contents::project_page(&mut tx, after, PROJECTS_A_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = i64::from(last.number);
        for project in page {
            upload.add(cutter.project(project)?).await?;
        }
    }
    let (rest, mut content) = cutter.finish(&contents::providers(&mut tx).await?)?;
    // Not before the transaction began to read.
    content.base.compiled_at = clock::now();
    upload.add(rest).await?;
    upload.send().await?;
    Ok(Compiled { content, seqs })
}

/// Puts a compiled base on record.
pub(super) async fn keep(
    store: &Store,
    compiled: &Compiled,
    naming: Naming,
    now: UnixMs,
) -> Result<(), PublishError> {
    let Compiled { content, seqs } = compiled;
    let json = serde_json::to_string(content).map_err(|error| PublishError::Encode(error.to_string()))?;
    let mut tx = store.write().await?;
    let id = rows::insert_base(&mut tx, &json, seqs, now).await?;
    if naming == Naming::AtOnce {
        rows::adopt_base(&mut tx, id).await?;
    }
    tx.commit().await?;
    let (tokens, bytes) = (content.tokens, content.size_bytes);
    tracing::info!(base = id, tokens, bytes, ?naming, "snapshot compacted");
    Ok(())
}

struct Upload<'a> {
    kv: &'a KvClient,
    in_kv: &'a HashSet<String>,
    pairs: Vec<Pair>,
    length: usize,
}

impl Upload<'_> {
    async fn add(&mut self, objects: impl IntoIterator<Item = Pair>) -> Result<(), PublishError> {
        for object in objects {
            if self.in_kv.contains(&object.key) {
                continue;
            }
            self.length += object.value.len();
            self.pairs.push(object);
            if self.length >= UPLOAD_LEN || self.pairs.len() == UPLOAD_PAIRS {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// Tries again by itself: to begin anew means to read the whole database.
    async fn send(&mut self) -> Result<(), PublishError> {
        if self.pairs.is_empty() {
            return Ok(());
        }
        let mut failures = 0;
        while let Err(error) = self.kv.put_bulk(&self.pairs, UPLOAD_DEADLINE).await {
            failures += 1;
            if failures == UPLOAD_ATTEMPTS {
                return Err(error.into());
            }
            let error = PublishError::from(error);
            tokio::time::sleep(pace::back_off(failures, error.retry_after(), pace::chance())).await;
        }
        self.pairs.clear();
        self.length = 0;
        Ok(())
    }
}
