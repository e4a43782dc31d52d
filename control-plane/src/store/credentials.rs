//! The table `credentials`.

use super::sql::query;
use super::{Connection, Error, to_db};
use shared::id::UnixMs;
use sqlx::FromRow;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct CredentialRow {
    pub id: Uuid,
    pub project_id: Uuid,
    pub provider: String,
    pub label: String,
    pub hint: String,
    pub weight: i64,
    pub priority: i64,
    pub is_active: bool,
    pub encrypted: String,
    pub sealed: String,
    pub origin: String,
    pub created_at: i64,
    pub updated_at: i64,
}

pub async fn insert(conn: &mut Connection, row: &CredentialRow) -> Result<(), Error> {
    query(
        "insert into credentials (id, project_id, provider, label, hint, weight, priority, is_active, encrypted, \
         sealed, origin, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(row.id)
    .bind(row.project_id)
    .bind(&row.provider)
    .bind(&row.label)
    .bind(&row.hint)
    .bind(row.weight)
    .bind(row.priority)
    .bind(row.is_active)
    .bind(&row.encrypted)
    .bind(&row.sealed)
    .bind(&row.origin)
    .bind(row.created_at)
    .bind(row.updated_at)
    .execute(conn)
    .await
    .map(drop)
}

/// Stores what may change of a credential.
pub async fn update(conn: &mut Connection, row: &CredentialRow) -> Result<(), Error> {
    query(
        "update credentials set label = $2, hint = $3, weight = $4, priority = $5, is_active = $6, encrypted = $7, \
         sealed = $8, origin = $9, updated_at = $10 where id = $1",
    )
    .bind(row.id)
    .bind(&row.label)
    .bind(&row.hint)
    .bind(row.weight)
    .bind(row.priority)
    .bind(row.is_active)
    .bind(&row.encrypted)
    .bind(&row.sealed)
    .bind(&row.origin)
    .bind(row.updated_at)
    .execute(conn)
    .await
    .map(drop)
}

pub async fn get(conn: &mut Connection, project_id: Uuid, id: Uuid) -> Result<Option<CredentialRow>, Error> {
    query(
        "select id, project_id, provider, label, hint, weight, priority, is_active, encrypted, \
         sealed, origin, created_at, updated_at from credentials where project_id = $1 and id = $2",
    )
    .bind(project_id)
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Reads a credential and holds it until the transaction ends, as `projects::lock` does.
pub async fn lock(conn: &mut Connection, project_id: Uuid, id: Uuid) -> Result<Option<CredentialRow>, Error> {
    query(
        "update credentials set label = label where project_id = $1 and id = $2 \
         returning id, project_id, provider, label, hint, weight, priority, is_active, encrypted, \
         sealed, origin, created_at, updated_at",
    )
    .bind(project_id)
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Newest first, made before `before`.
pub async fn list(
    conn: &mut Connection,
    project_id: Uuid,
    before: Uuid,
    limit: i64,
) -> Result<Vec<CredentialRow>, Error> {
    query(
        "select id, project_id, provider, label, hint, weight, priority, is_active, encrypted, \
         sealed, origin, created_at, updated_at from credentials where project_id = $1 and id < $2 \
         order by id desc limit $3",
    )
    .bind(project_id)
    .bind(before)
    .bind(limit)
    .fetch_all(conn)
    .await
}

pub async fn delete(conn: &mut Connection, id: Uuid) -> Result<(), Error> {
    query("delete from credentials where id = $1").bind(id).execute(conn).await.map(drop)
}

pub async fn count_by_provider(conn: &mut Connection, provider: &str) -> Result<i64, Error> {
    query("select count(*) from credentials where provider = $1").bind(provider).scalar(conn).await
}

/// Deactivates the provider's credentials that are sealed for another origin,
/// and returns them as they are now.
pub async fn deactivate_elsewhere(
    conn: &mut Connection,
    provider: &str,
    origin: &str,
    now: UnixMs,
) -> Result<Vec<CredentialRow>, Error> {
    query(
        "update credentials set is_active = false, updated_at = $3 \
         where provider = $1 and origin <> $2 and is_active \
         returning id, project_id, provider, label, hint, weight, priority, is_active, encrypted, \
         sealed, origin, created_at, updated_at",
    )
    .bind(provider)
    .bind(origin)
    .bind(to_db(now))
    .fetch_all(conn)
    .await
}

/// How many credentials a pair of keys sealed, by the ids in the seals.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct SealCount {
    /// Of `encrypted`; may be no id at all, where what is stored is no seal.
    pub encryption_key: String,
    /// Of `sealed`.
    pub edge_key: String,
    pub credentials: i64,
    pub last_updated_at: i64,
}

pub async fn count_by_keys(conn: &mut Connection) -> Result<Vec<SealCount>, Error> {
    query(
        "select substr(encrypted, 4, 16) as encryption_key, substr(sealed, 4, 16) as edge_key, \
         count(*) as credentials, max(updated_at) as last_updated_at from credentials group by 1, 2 order by 1, 2",
    )
    .fetch_all(conn)
    .await
}

/// Project and id of the credentials that other keys than these sealed, those
/// after `after`, project by project.
pub async fn sealed_otherwise(
    conn: &mut Connection,
    encryption_key: &str,
    edge_key: &str,
    after: (Uuid, Uuid),
    limit: i64,
) -> Result<Vec<(Uuid, Uuid)>, Error> {
    query(
        "select project_id, id from credentials \
         where (substr(encrypted, 4, 16) <> $1 or substr(sealed, 4, 16) <> $2) and (project_id, id) > ($3, $4) \
         order by project_id, id limit $5",
    )
    .bind(encryption_key)
    .bind(edge_key)
    .bind(after.0)
    .bind(after.1)
    .bind(limit)
    .fetch_all(conn)
    .await
}

pub async fn count_sealed_otherwise(
    conn: &mut Connection,
    encryption_key: &str,
    edge_key: &str,
) -> Result<i64, Error> {
    query(
        "select count(*) from credentials where substr(encrypted, 4, 16) <> $1 or substr(sealed, 4, 16) <> $2",
    )
    .bind(encryption_key)
    .bind(edge_key)
    .scalar(conn)
    .await
}

/// About as many bytes as the projects that changed since the current base was compiled
/// take in the manifest.
pub async fn bytes_in_delta(conn: &mut Connection) -> Result<i64, Error> {
    query(
        "with delta as (select o.project_id as id from outbox o where o.project_id is not null and \
         (o.base_id is null or o.base_id not in (select b.id from snapshot_bases b where b.state = 'current'))) \
         select (select coalesce(sum(length(c.sealed) + 200), 0) from credentials c \
         where c.is_active and c.project_id in (select id from delta)) \
         + (select coalesce(sum(length(r.definition)), 0) from routes r where r.project_id in (select id from delta)) \
         + (select coalesce(sum(length(p.policy)), 0) from projects p where p.id in (select id from delta)) \
         + (select coalesce(sum(length(f.policy)), 0) from profiles f where f.project_id in (select id from delta))",
    )
    .scalar(conn)
    .await
}
