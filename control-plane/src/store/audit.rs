//! The table `audit_log`: written and read, never altered.

use super::sql::query;
use super::{Connection, Error};
use sqlx::FromRow;
use uuid::Uuid;

#[derive(Clone, Debug, FromRow)]
pub struct AuditRow {
    pub id: Uuid,
    pub at: i64,
    pub actor: String,
    pub action: String,
    pub resource_id: String,
    pub project_id: Option<Uuid>,
    pub client: Option<String>,
    pub request_id: Option<String>,
    pub result: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

pub async fn insert(conn: &mut Connection, row: &AuditRow) -> Result<(), Error> {
    query(
        "insert into audit_log (id, at, actor, action, resource_id, project_id, client, request_id, result, \
         before, after) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(row.id)
    .bind(row.at)
    .bind(&row.actor)
    .bind(&row.action)
    .bind(&row.resource_id)
    .bind(row.project_id)
    .bind(&row.client)
    .bind(&row.request_id)
    .bind(&row.result)
    .bind(&row.before)
    .bind(&row.after)
    .execute(conn)
    .await
    .map(drop)
}

/// Newest first, made before `before`; an empty `action` means any.
pub async fn list(
    conn: &mut Connection,
    project_id: Option<Uuid>,
    action: &str,
    before: Uuid,
    limit: i64,
) -> Result<Vec<AuditRow>, Error> {
    // No action has a NUL, which PostgreSQL does not take for text.
    if action.contains('\0') {
        return Ok(Vec::new());
    }
    let rows = match project_id {
        Some(project_id) => query(
            "select id, at, actor, action, resource_id, project_id, client, request_id, result, before, after \
             from audit_log where id < $1 and ($2 = '' or action = $2) and project_id = $4 \
             order by id desc limit $3",
        )
        .bind(before)
        .bind(action)
        .bind(limit)
        .bind(project_id),
        None => query(
            "select id, at, actor, action, resource_id, project_id, client, request_id, result, before, after \
             from audit_log where id < $1 and ($2 = '' or action = $2) order by id desc limit $3",
        )
        .bind(before)
        .bind(action)
        .bind(limit),
    };
    rows.fetch_all(conn).await
}
