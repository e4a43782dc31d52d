//! The table `profiles`: policies of tokens, each once for a project.

use super::sql::query;
use super::{Connection, Error, to_db};
use shared::id::UnixMs;
use sqlx::FromRow;
use uuid::Uuid;

/// `used_until` of what a token needs that never expires.
pub const ALWAYS: i64 = i64::MAX;

#[derive(Clone, Debug, FromRow)]
pub struct ProfileRow {
    pub id: Uuid,
    pub project_id: Uuid,
    /// Within the project.
    pub number: i64,
    /// JSON.
    pub policy: String,
    pub hash: Vec<u8>,
    /// No token needs it later.
    pub used_until: i64,
    pub created_at: i64,
}

/// Stores a new one and gives it the project's next number, whatever number `row`
/// has. Whoever calls holds the project.
pub async fn insert(conn: &mut Connection, row: &ProfileRow) -> Result<ProfileRow, Error> {
    let number: i64 = query("select coalesce(max(number), 0) + 1 from profiles where project_id = $1")
        .bind(row.project_id)
        .scalar(&mut *conn)
        .await?;
    query(
        "insert into profiles (id, project_id, number, policy, hash, used_until, created_at) \
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(row.id)
    .bind(row.project_id)
    .bind(number)
    .bind(&row.policy)
    .bind(&row.hash[..])
    .bind(row.used_until)
    .bind(row.created_at)
    .execute(conn)
    .await?;
    Ok(ProfileRow { number, ..row.clone() })
}

pub async fn find(conn: &mut Connection, project_id: Uuid, hash: &[u8]) -> Result<Option<ProfileRow>, Error> {
    query(
        "select id, project_id, number, policy, hash, used_until, created_at from profiles \
         where project_id = $1 and hash = $2",
    )
    .bind(project_id)
    .bind(hash)
    .fetch_optional(conn)
    .await
}

pub async fn set_used_until(conn: &mut Connection, id: Uuid, used_until: i64) -> Result<(), Error> {
    query("update profiles set used_until = $2 where id = $1")
        .bind(id)
        .bind(used_until)
        .execute(conn)
        .await
        .map(drop)
}

/// How many of a project's tokens may need at `now`.
pub async fn count_used(conn: &mut Connection, project_id: Uuid, now: UnixMs) -> Result<i64, Error> {
    query("select count(*) from profiles where project_id = $1 and used_until > $2")
        .bind(project_id)
        .bind(to_db(now))
        .scalar(conn)
        .await
}

/// Marks as not used what no valid token of the project has.
pub async fn release_unused(conn: &mut Connection, project_id: Uuid, now: UnixMs) -> Result<u64, Error> {
    query(
        "update profiles set used_until = 0 where project_id = $1 and used_until > $2 and not exists \
         (select 1 from tokens t join projects p on p.id = t.project_id where t.profile_id = profiles.id \
         and t.revoked_at is null and (t.expires_at is null or t.expires_at > $2) \
         and t.created_at >= p.tokens_valid_from)",
    )
    .bind(project_id)
    .bind(to_db(now))
    .execute(conn)
    .await
}

/// Marks all of a project as not used.
pub async fn release_all(conn: &mut Connection, project_id: Uuid) -> Result<(), Error> {
    query("update profiles set used_until = 0 where project_id = $1 and used_until > 0")
        .bind(project_id)
        .execute(conn)
        .await
        .map(drop)
}
