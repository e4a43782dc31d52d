//! What the next manifest says: a function of the database alone, so that any
//! attempt, after any failure and on any instance, publishes the present truth.

use super::base::{Content, Objects};
use super::error::PublishError;
use crate::store::snapshot::{self as rows, contents};
use crate::store::{Connection, Store, outbox};
use shared::id::UnixMs;
use shared::snapshot::config;
use shared::snapshot::manifest::{Delta, MAX_DELTA_LEN, MAX_DELTA_RECORDS, Manifest};
use shared::snapshot::shard::Shard;

/// A delta beyond this length must become a base before anything is published:
/// isolates have 64 MB for everything, and KV takes 25 MiB a value.
const MAX_PUBLISHED_DELTA_LEN: usize = 8 * 1024 * 1024;

/// One state of the database, ready to be told.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) content: Option<Content>,
    pub(super) delta: Delta,
    /// The outbox rows that this plan tells. Rows that commit later are not
    /// among them, whatever their numbers.
    pub(super) seqs: Vec<i64>,
    /// Of the last publication on record.
    pub(super) last_version: u64,
}

/// How the delta stands to its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    Fits,
    /// Compact it soon.
    Full,
    /// Compact it before it is published.
    Oversize,
}

impl Plan {
    pub(super) async fn read(store: &Store, now: UnixMs) -> Result<Self, PublishError> {
        let mut tx = store.read().await?;
        let (base_id, content) = current_base(&mut tx).await?.unzip();
        let base_id = base_id.unwrap_or(0);
        let with_providers = content.is_none() || outbox::have_providers_changed(&mut tx, base_id).await?;
        let delta = Delta {
            tokens: Shard::build(contents::changed_tokens(&mut tx, base_id).await?),
            projects: contents::changed_projects(&mut tx, base_id, now).await?,
            providers: if with_providers { Some(contents::providers(&mut tx).await?) } else { None },
        };
        let seqs = outbox::unpublished(&mut tx).await?;
        let last_version = rows::publication(&mut tx).await?.unwrap_or_default().version;
        Ok(Self { content, delta, seqs, last_version })
    }

    pub(super) fn manifest(&self, deployment_id: &str, version: u64, created_at: UnixMs) -> Manifest {
        let Self { content, delta, .. } = self;
        let (base, delta) = (content.as_ref().map(|content| content.base), delta.clone());
        Manifest { deployment_id: deployment_id.to_owned(), version, created_at, base, delta }
    }

    /// How many tokens the snapshot knows. Those in the delta that are no newer
    /// than the base are counted in it.
    pub(super) fn tokens(&self) -> u64 {
        let (in_base, last) =
            self.content.as_ref().map_or((0, None), |content| (content.tokens, content.last));
        let is_new = |id| last.is_none_or(|last| id > last);
        let new = self.delta.tokens.iter().filter(|record| is_new(record.id())).count();
        in_base + new as u64
    }

    /// Of all objects of the base.
    pub(super) fn size_bytes(&self) -> u64 {
        self.content.as_ref().map_or(0, |content| content.size_bytes)
    }

    pub(super) fn fill(&self) -> Result<Fill, PublishError> {
        fill_of(&self.delta)
    }
}

/// The base that manifests name, with its id.
pub(super) async fn current_base(conn: &mut Connection) -> Result<Option<(i64, Content)>, PublishError> {
    let row = rows::current_base(conn).await?;
    row.map(|row| Ok((row.id, from_json(&row.content)?))).transpose()
}

/// The same with all its objects.
pub(super) async fn current_objects(
    conn: &mut Connection,
) -> Result<Option<(i64, Content, Objects)>, PublishError> {
    let Some((id, content)) = current_base(conn).await? else { return Ok(None) };
    let objects = Objects::from_text(&rows::objects(conn, id).await?)?;
    Ok(Some((id, content, objects)))
}

pub(super) fn to_json(content: &Content) -> Result<String, PublishError> {
    serde_json::to_string(content).map_err(|error| PublishError::Encode(error.to_string()))
}

fn from_json(text: &str) -> Result<Content, PublishError> {
    serde_json::from_str(text).map_err(|error| PublishError::Encode(format!("a stored base: {error}")))
}

fn fill_of(delta: &Delta) -> Result<Fill, PublishError> {
    let Delta { tokens, projects, providers } = delta;
    let encoded = |result: Result<Vec<u8>, config::ConfigError>| {
        result.map(|bytes| bytes.len()).map_err(|error| PublishError::Encode(error.to_string()))
    };
    let mut length = tokens.as_bytes().len();
    for project in projects {
        length += encoded(config::encode(project))?;
    }
    if let Some(providers) = providers {
        length += encoded(config::encode(providers))?;
    }
    let records = tokens.len() + projects.len();
    Ok(if length > MAX_PUBLISHED_DELTA_LEN {
        Fill::Oversize
    } else if length > MAX_DELTA_LEN || records > MAX_DELTA_RECORDS {
        Fill::Full
    } else {
        Fill::Fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::id;
    use shared::snapshot::Hash;
    use shared::snapshot::manifest::Base;
    use shared::snapshot::record::TokenRecord;

    fn delta(tokens: u64) -> Delta {
        let record = |n| TokenRecord::new(id::new(n, &[1; 10]), &[2; 32], None, 1, false);
        Delta { tokens: Shard::build((0..tokens).map(record).collect()), ..Delta::default() }
    }

    #[test]
    fn the_delta_is_full_beyond_its_bound_and_oversize_far_beyond() {
        for (tokens, expected) in
            [(0, Fill::Fits), (2_000, Fill::Fits), (2_001, Fill::Full), (140_000, Fill::Oversize)]
        {
            assert_eq!(fill_of(&delta(tokens)).unwrap(), expected, "{tokens} tokens");
        }
    }

    #[test]
    fn a_token_that_the_base_has_is_not_counted_twice() {
        let last = Some(id::new(9, &[1; 10]));
        let base = Base { index: Hash([1; 32]), compiled_at: 1 };
        let content = Content { base, whole_at: 1, tokens: 100, last, size_bytes: 1 };
        let plan = Plan { content: Some(content), delta: delta(12), seqs: vec![], last_version: 0 };
        assert_eq!(plan.tokens(), 102);
    }
}
