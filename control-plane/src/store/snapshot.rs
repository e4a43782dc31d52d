//! What the publisher keeps: the bases it compiled, and what it last published.

pub mod contents;

pub use super::Error;

use super::sql::query;
use super::{Connection, from_db, outbox, to_db};
use shared::id::UnixMs;
use sqlx::FromRow;

/// A base as every publication needs it.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct BaseRow {
    pub id: i64,
    /// JSON.
    pub content: String,
}

/// The base that the manifest names.
pub async fn current_base(conn: &mut Connection) -> Result<Option<BaseRow>, Error> {
    query("select id, content from snapshot_bases where state = 'current' order by id desc limit 1")
        .fetch_optional(conn)
        .await
}

/// All objects of a base.
pub async fn objects(conn: &mut Connection, base_id: i64) -> Result<String, Error> {
    query("select objects from snapshot_bases where id = $1").bind(base_id).scalar(conn).await
}

/// The objects of each base on record, named by a manifest or settling.
pub async fn all_objects(conn: &mut Connection) -> Result<Vec<String>, Error> {
    query("select objects from snapshot_bases").scalars(conn).await
}

/// Whether there is a base whose objects are uploaded, but that no manifest names yet.
pub async fn is_settling(conn: &mut Connection) -> Result<bool, Error> {
    let found: Option<i64> =
        query("select id from snapshot_bases where state = 'settling' limit 1").scalar_optional(conn).await?;
    Ok(found.is_some())
}

/// The newest settling base that was uploaded at `before` or earlier, and its objects.
pub async fn settled_base(conn: &mut Connection, before: UnixMs) -> Result<Option<(i64, String)>, Error> {
    query(
        "select id, objects from snapshot_bases where state = 'settling' and uploaded_at <= $1
         order by id desc limit 1",
    )
    .bind(to_db(before))
    .fetch_optional(conn)
    .await
}

/// Keeps a base whose objects are uploaded; its id.
pub async fn insert_base(
    conn: &mut Connection,
    content: &str,
    objects: &str,
    now: UnixMs,
) -> Result<i64, Error> {
    query(
        "insert into snapshot_bases (state, content, objects, uploaded_at)
         values ('settling', $1, $2, $3) returning id",
    )
    .bind(content)
    .bind(objects)
    .bind(to_db(now))
    .scalar(conn)
    .await
}

pub async fn update_content(conn: &mut Connection, base_id: i64, content: &str) -> Result<(), Error> {
    query("update snapshot_bases set content = $2 where id = $1")
        .bind(base_id)
        .bind(content)
        .execute(conn)
        .await
        .map(drop)
}

/// Makes base `id` the one that manifests name, and forgets all before it.
pub async fn adopt_base(conn: &mut Connection, id: i64) -> Result<(), Error> {
    query("update snapshot_bases set state = 'current' where id = $1").bind(id).execute(conn).await?;
    query("delete from snapshot_bases where id < $1").bind(id).execute(conn).await?;
    outbox::delete_told(conn, id).await
}

/// Forgets what was to become a base. The changes in it stay in the delta,
/// which holds all that the *current* base does not include.
pub async fn drop_settling(conn: &mut Connection) -> Result<(), Error> {
    query("delete from snapshot_bases where state = 'settling'").execute(conn).await.map(drop)
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
        query("select version, published_at, size_bytes, tokens from snapshot_publication")
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
    query(
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
    .await
    .map(drop)
}
