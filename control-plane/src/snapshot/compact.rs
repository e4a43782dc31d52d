//! Compaction: what the database says becomes immutable objects in KV. Only
//! the shards and slices that changes touched are read and cut anew; once a
//! day, and on demand, everything is, so that records that ended long ago leave.

use super::base::{Content, Cutter, Objects};
use super::error::PublishError;
use super::kv::KvClient;
use super::plan;
use super::upload::Upload;
use crate::store::snapshot::contents::{self, Owners};
use crate::store::{Connection, Store, outbox};
use shared::id::UnixMs;
use shared::snapshot::record::ProjectNumber;
use std::collections::{BTreeSet, HashSet};
use uuid::Uuid;

/// How long the edge can say why a token that has ended is refused.
pub(super) const KEEP_ENDED_MS: UnixMs = 24 * 60 * 60 * 1000;
const TOKENS_A_PAGE: u32 = 8_192;
const PROJECTS_A_PAGE: u32 = 64;

/// What is read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// What changed since the current base; everything if there is none.
    Touched,
    Everything,
}

/// A base whose objects are all in KV.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) content: Content,
    pub(super) objects: Objects,
    /// The outbox rows whose changes are in it.
    pub(super) seqs: Vec<i64>,
}

/// Compiles and uploads, except objects whose key is `in_kv` already. Tables
/// and outbox are read in one transaction, so the base includes exactly the
/// changes of the outbox rows seen; nothing is on record until it is kept.
/// It counts as compiled at `from` or later, and not before the current base
/// was: a clock that was set back must not make it look older than it is.
pub(super) async fn compile(
    store: &Store,
    kv: &KvClient,
    in_kv: HashSet<String>,
    scope: Scope,
    from: UnixMs,
    clock: fn() -> UnixMs,
) -> Result<Compiled, PublishError> {
    let began = clock();
    let mut tx = store.read().await?;
    let seqs = outbox::visible(&mut tx).await?;
    let from = plan::current_base(&mut tx).await?.map_or(from, |(_, base)| from.max(base.base.compiled_at));
    let current = match scope {
        Scope::Everything => None,
        Scope::Touched => plan::current_objects(&mut tx).await?,
    };
    let mut pass = Pass {
        cutter: Cutter::default(),
        upload: Upload::new(kv.clone(), in_kv),
        began,
        owners: Owners::read(&mut tx).await?,
    };
    let (last, whole_at) = match &current {
        None => {
            pass.tokens(&mut tx, Uuid::nil(), Uuid::max()).await?;
            pass.projects(&mut tx, -1, i64::MAX).await?;
            (None, began)
        }
        Some((base_id, content, objects)) => {
            let ids = contents::changed_token_ids(&mut tx, *base_id).await?;
            pass.touched_shards(&mut tx, objects, &ids).await?;
            let numbers = contents::changed_project_numbers(&mut tx, *base_id).await?;
            pass.touched_slices(&mut tx, objects, &numbers).await?;
            (content.last, content.whole_at)
        }
    };
    let providers = contents::providers(&mut tx).await?;
    drop(tx);
    let Pass { cutter, mut upload, .. } = pass;
    // Not before the transaction began to read.
    let (rest, objects, content) = cutter.finish(&providers, last, clock().max(from), whole_at)?;
    upload.add(rest).await?;
    upload.finish().await?;
    Ok(Compiled { content, objects, seqs })
}

/// One walk through the contents, in order.
struct Pass {
    cutter: Cutter,
    upload: Upload,
    began: UnixMs,
    owners: Owners,
}

impl Pass {
    /// Cuts the tokens above `after` and below `below`.
    async fn tokens(
        &mut self,
        conn: &mut Connection,
        mut after: Uuid,
        below: Uuid,
    ) -> Result<(), PublishError> {
        loop {
            let Self { owners, began, .. } = &*self;
            let ended_before = began.saturating_sub(KEEP_ENDED_MS);
            let page = contents::token_page(conn, owners, after, below, ended_before, TOKENS_A_PAGE).await?;
            let Some(last) = page.last else { return Ok(()) };
            after = last;
            for record in page.records {
                let complete = self.cutter.token(record);
                self.upload.add(complete).await?;
            }
        }
    }

    /// Cuts the projects numbered above `after` and below `below`.
    async fn projects(
        &mut self,
        conn: &mut Connection,
        mut after: i64,
        below: i64,
    ) -> Result<(), PublishError> {
        loop {
            let page = contents::project_page(conn, after, below, PROJECTS_A_PAGE, self.began).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = i64::from(last.number);
            for project in page {
                let complete = self.cutter.project(project)?;
                self.upload.add(complete).await?;
            }
        }
    }

    async fn touched_shards(
        &mut self,
        conn: &mut Connection,
        objects: &Objects,
        ids: &[Uuid],
    ) -> Result<(), PublishError> {
        let firsts: Vec<Uuid> = objects.shards.iter().map(|piece| piece.first).collect();
        let touched = ranges_of(&firsts, ids);
        if firsts.is_empty() {
            return self.tokens(conn, Uuid::nil(), Uuid::max()).await;
        }
        for (at, piece) in objects.shards.iter().enumerate() {
            if !touched.contains(&at) {
                let complete = self.cutter.keep_shard(*piece);
                self.upload.add(complete).await?;
                continue;
            }
            // Ids below the first shard's belong to it too.
            let after = if at == 0 { 0 } else { piece.first.as_u128() - 1 };
            let below = firsts.get(at + 1).copied().unwrap_or(Uuid::max());
            self.tokens(conn, Uuid::from_u128(after), below).await?;
            let complete = self.cutter.end_shard();
            self.upload.add(complete).await?;
        }
        Ok(())
    }

    async fn touched_slices(
        &mut self,
        conn: &mut Connection,
        objects: &Objects,
        numbers: &[ProjectNumber],
    ) -> Result<(), PublishError> {
        let firsts: Vec<ProjectNumber> = objects.slices.iter().map(|piece| piece.first).collect();
        let touched = ranges_of(&firsts, numbers);
        if firsts.is_empty() {
            return self.projects(conn, -1, i64::MAX).await;
        }
        for (at, piece) in objects.slices.iter().enumerate() {
            if !touched.contains(&at) {
                let complete = self.cutter.keep_slice(*piece)?;
                self.upload.add(complete).await?;
                continue;
            }
            let after = if at == 0 { -1 } else { i64::from(piece.first) - 1 };
            let below = firsts.get(at + 1).map_or(i64::MAX, |next| i64::from(*next));
            self.projects(conn, after, below).await?;
            let complete = self.cutter.end_slice()?;
            self.upload.add(complete).await?;
        }
        Ok(())
    }
}

/// Which of the ranges that begin at `firsts` hold one of `keys`.
fn ranges_of<K: Ord>(firsts: &[K], keys: &[K]) -> BTreeSet<usize> {
    keys.iter().map(|key| firsts.partition_point(|first| first <= key).saturating_sub(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_reaches_to_the_next_and_the_first_one_down_to_nothing() {
        let touched: Vec<usize> = ranges_of(&[10, 20, 30], &[1, 10, 19, 30, 99]).into_iter().collect();
        assert_eq!(touched, [0, 2]);
        assert!(ranges_of(&[10, 20], &[]).is_empty());
    }
}
