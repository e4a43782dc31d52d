//! What the publisher keeps: the bases it compiled, and what it last published.

pub mod contents;

pub use super::Error;

use super::{Connection, from_db, outbox, to_db};
use shared::id::UnixMs;
use sqlx::FromRow;

/// A base as stored.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct BaseRow {
    pub id: i64,
    /// The index of its objects, JSON.
    pub content: String,
}

/// The base that the manifest names.
pub async fn current_base(conn: &mut Connection) -> Result<Option<BaseRow>, Error> {
    sqlx::query_as("select id, content from snapshot_bases where state = 'current' order by id desc limit 1")
        .fetch_optional(conn)
        .await
}

/// Whether there is a base whose objects are uploaded, but that no manifest names yet.
pub async fn is_settling(conn: &mut Connection) -> Result<bool, Error> {
    let found: Option<i64> =
        sqlx::query_scalar("select id from snapshot_bases where state = 'settling' limit 1")
            .fetch_optional(conn)
            .await?;
    Ok(found.is_some())
}

/// The newest settling base that was uploaded at `before` or earlier.
pub async fn settled_base(conn: &mut Connection, before: UnixMs) -> Result<Option<BaseRow>, Error> {
    sqlx::query_as(
        "select id, content from snapshot_bases where state = 'settling' and uploaded_at <= $1
         order by id desc limit 1",
    )
    .bind(to_db(before))
    .fetch_optional(conn)
    .await
}

/// Keeps a base whose objects are uploaded, made of the changes `seqs`.
pub async fn insert_base(
    conn: &mut Connection,
    content: &str,
    seqs: &[i64],
    now: UnixMs,
) -> Result<i64, Error> {
    let id = sqlx::query_scalar(
        "insert into snapshot_bases (state, content, uploaded_at) values ('settling', $1, $2) returning id",
    )
    .bind(content)
    .bind(to_db(now))
    .fetch_one(&mut *conn)
    .await?;
    outbox::mark_included(conn, id, seqs).await?;
    Ok(id)
}

/// Makes base `id` the one that manifests name, and forgets all before it.
pub async fn adopt_base(conn: &mut Connection, id: i64) -> Result<(), Error> {
    sqlx::query("update snapshot_bases set state = 'current' where id = $1")
        .bind(id)
        .execute(&mut *conn)
        .await?;
    sqlx::query("delete from snapshot_bases where id < $1").bind(id).execute(&mut *conn).await?;
    outbox::delete_told(conn, id).await
}

/// Forgets what was to become a base. The changes in it stay in the delta,
/// which holds all that the *current* base does not include.
pub async fn drop_settling(conn: &mut Connection) -> Result<(), Error> {
    sqlx::query("delete from snapshot_bases where state = 'settling'").execute(conn).await?;
    Ok(())
}

/// The last manifest that KV acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    pub version: u64,
    pub published_at: UnixMs,
    /// Of the manifest and all objects it names.
    pub size_bytes: u64,
    pub tokens: u64,
}

pub async fn publication(conn: &mut Connection) -> Result<Option<Publication>, Error> {
    let row: Option<(i64, i64, i64, i64)> =
        sqlx::query_as("select version, published_at, size_bytes, tokens from snapshot_publication")
            .fetch_optional(conn)
            .await?;
    Ok(row.map(|(version, published_at, size_bytes, tokens)| Publication {
        version: from_db(version),
        published_at: from_db(published_at),
        size_bytes: from_db(size_bytes),
        tokens: from_db(tokens),
    }))
}

/// Of two publishers the one with the higher version was last.
pub async fn save_publication(conn: &mut Connection, publication: Publication) -> Result<(), Error> {
    let Publication { version, published_at, size_bytes, tokens } = publication;
    sqlx::query(
        "insert into snapshot_publication (id, version, published_at, size_bytes, tokens)
         values (1, $1, $2, $3, $4)
         on conflict (id) do update set version = excluded.version, published_at = excluded.published_at,
         size_bytes = excluded.size_bytes, tokens = excluded.tokens
         where snapshot_publication.version < excluded.version",
    )
    .bind(to_db(version))
    .bind(to_db(published_at))
    .bind(to_db(size_bytes))
    .bind(to_db(tokens))
    .execute(conn)
    .await?;
    Ok(())
}
