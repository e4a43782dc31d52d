//! The table `tokens`. `created_at` is the time in the id, so that what bulk
//! revocation compares can be read in SQL.

use super::sql::query;
use super::{Connection, Error, to_db};
use shared::id::UnixMs;
use sqlx::FromRow;
use uuid::Uuid;

#[derive(Clone, Debug, FromRow)]
pub struct TokenRow {
    pub id: Uuid,
    pub project_id: Uuid,
    pub name: String,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
    pub metadata: Option<String>,
    pub created_at: i64,
    /// Id of the `TOKEN_TAG_KEY` that tagged it, in hex; `None` for one made before this was kept.
    pub tag_key: Option<String>,
    /// What it has of its own.
    pub profile_id: Option<Uuid>,
    /// Of the profile; JSON.
    pub policy: Option<String>,
    /// Of the project: tokens created earlier are revoked.
    pub tokens_valid_from: i64,
    /// As far as its events were counted.
    pub request_count: i64,
    pub last_used_at: Option<i64>,
}

/// Which tokens a list shows.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    pub project_id: Option<Uuid>,
    /// Only those that are neither revoked nor expired at `now`.
    pub active_only: bool,
    pub now: UnixMs,
}

pub async fn insert(conn: &mut Connection, row: &TokenRow, secret_hash: &[u8; 32]) -> Result<(), Error> {
    query(
        "insert into tokens (id, project_id, name, secret_hash, expires_at, revoked_at, metadata, created_at, \
         tag_key, profile_id) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(row.id)
    .bind(row.project_id)
    .bind(&row.name)
    .bind(&secret_hash[..])
    .bind(row.expires_at)
    .bind(row.revoked_at)
    .bind(&row.metadata)
    .bind(row.created_at)
    .bind(&row.tag_key)
    .bind(row.profile_id)
    .execute(conn)
    .await
    .map(drop)
}

/// Stores what may change of a token.
pub async fn update(conn: &mut Connection, row: &TokenRow) -> Result<(), Error> {
    query(
        "update tokens set name = $2, expires_at = $3, revoked_at = $4, metadata = $5, profile_id = $6 \
         where id = $1",
    )
    .bind(row.id)
    .bind(&row.name)
    .bind(row.expires_at)
    .bind(row.revoked_at)
    .bind(&row.metadata)
    .bind(row.profile_id)
    .execute(conn)
    .await
    .map(drop)
}

pub async fn get(conn: &mut Connection, id: Uuid) -> Result<Option<TokenRow>, Error> {
    query(
        "select t.id, t.project_id, t.name, t.expires_at, t.revoked_at, t.metadata, t.created_at, t.tag_key, \
         t.profile_id, f.policy, p.tokens_valid_from, coalesce(u.request_count, 0) as request_count, nullif(u.last_used_at, 0) as last_used_at \
         from tokens t join projects p on p.id = t.project_id left join profiles f on f.id = t.profile_id \
         left join token_usage u on u.token_id = t.id where t.id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Reads a token and holds it until the transaction ends, as `projects::lock` does.
pub async fn lock(conn: &mut Connection, id: Uuid) -> Result<Option<TokenRow>, Error> {
    query("update tokens set name = name where id = $1").bind(id).execute(&mut *conn).await?;
    get(conn, id).await
}

/// Newest first, made before `before`.
pub async fn list(
    conn: &mut Connection,
    filter: Filter,
    before: Uuid,
    limit: i64,
) -> Result<Vec<TokenRow>, Error> {
    match filter.project_id {
        Some(project_id) => {
            query(
                "select t.id, t.project_id, t.name, t.expires_at, t.revoked_at, t.metadata, t.created_at, t.tag_key, \
                 t.profile_id, f.policy, p.tokens_valid_from, coalesce(u.request_count, 0) as request_count, \
                 nullif(u.last_used_at, 0) as last_used_at from tokens t join projects p on p.id = t.project_id \
                 left join profiles f on f.id = t.profile_id left join token_usage u on u.token_id = t.id \
                 where t.id < $1 and (not $2 or (t.revoked_at is null and (t.expires_at is null or t.expires_at > $3) \
                 and t.created_at >= p.tokens_valid_from)) and t.project_id = $5 order by t.id desc limit $4",
            )
            .bind(before)
            .bind(filter.active_only)
            .bind(to_db(filter.now))
            .bind(limit)
            .bind(project_id)
            .fetch_all(conn)
            .await
        }
        None => {
            query(
                "select t.id, t.project_id, t.name, t.expires_at, t.revoked_at, t.metadata, t.created_at, t.tag_key, \
                 t.profile_id, f.policy, p.tokens_valid_from, coalesce(u.request_count, 0) as request_count, \
                 nullif(u.last_used_at, 0) as last_used_at from tokens t join projects p on p.id = t.project_id \
                 left join profiles f on f.id = t.profile_id left join token_usage u on u.token_id = t.id \
                 where t.id < $1 and (not $2 or (t.revoked_at is null and (t.expires_at is null or t.expires_at > $3) \
                 and t.created_at >= p.tokens_valid_from)) order by t.id desc limit $4",
            )
            .bind(before)
            .bind(filter.active_only)
            .bind(to_db(filter.now))
            .bind(limit)
            .fetch_all(conn)
            .await
        }
    }
}

/// When the project's newest token was made.
pub async fn newest(conn: &mut Connection, project_id: Uuid) -> Result<Option<i64>, Error> {
    query("select created_at from tokens where project_id = $1 order by id desc limit 1")
        .bind(project_id)
        .scalar_optional(conn)
        .await
}

/// How many tokens of a project are neither revoked nor expired.
pub async fn count_live(
    conn: &mut Connection,
    project_id: Uuid,
    tokens_valid_from: UnixMs,
    now: UnixMs,
) -> Result<i64, Error> {
    query(
        "select count(*) from tokens where project_id = $1 and revoked_at is null \
         and (expires_at is null or expires_at > $3) and created_at >= $2",
    )
    .bind(project_id)
    .bind(to_db(tokens_valid_from))
    .bind(to_db(now))
    .scalar(conn)
    .await
}

/// The valid tokens that one `TOKEN_TAG_KEY` tagged.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct TagCount {
    /// `None`: tagged before this was kept.
    pub tag_key: Option<String>,
    pub tokens: i64,
    /// How many of them never expire.
    pub endless: i64,
    /// When the last of those ends that do.
    pub last_expires_at: Option<i64>,
    pub last_created_at: i64,
}

/// Counts tokens that are neither revoked nor expired at `now`.
pub async fn count_valid_by_tag_key(conn: &mut Connection, now: UnixMs) -> Result<Vec<TagCount>, Error> {
    query(
        "select t.tag_key, count(*) as tokens, count(*) - count(t.expires_at) as endless, \
         max(t.expires_at) as last_expires_at, max(t.created_at) as last_created_at \
         from tokens t join projects p on p.id = t.project_id \
         where t.revoked_at is null and (t.expires_at is null or t.expires_at > $1) \
         and t.created_at >= p.tokens_valid_from group by t.tag_key",
    )
    .bind(to_db(now))
    .fetch_all(conn)
    .await
}
