//! The tables `routes` and `route_providers`. Who changes a project's routes holds
//! the project.

use super::sql::query;
use super::{Connection, Error};
use sqlx::FromRow;
use uuid::Uuid;

#[derive(Clone, Debug, FromRow)]
pub struct RouteRow {
    pub id: Uuid,
    pub project_id: Uuid,
    pub name: String,
    /// From 1 on, without gaps.
    pub position: i64,
    /// A route as the edge needs it, JSON.
    pub definition: String,
    pub created_at: i64,
    pub updated_at: i64,
}

pub async fn insert(conn: &mut Connection, row: &RouteRow) -> Result<(), Error> {
    query(
        "insert into routes (id, project_id, name, position, definition, created_at, updated_at) \
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(row.id)
    .bind(row.project_id)
    .bind(&row.name)
    .bind(row.position)
    .bind(&row.definition)
    .bind(row.created_at)
    .bind(row.updated_at)
    .execute(conn)
    .await
    .map(drop)
}

/// Stores what may change of a route.
pub async fn update(conn: &mut Connection, row: &RouteRow) -> Result<(), Error> {
    query("update routes set name = $2, position = $3, definition = $4, updated_at = $5 where id = $1")
        .bind(row.id)
        .bind(&row.name)
        .bind(row.position)
        .bind(&row.definition)
        .bind(row.updated_at)
        .execute(conn)
        .await
        .map(drop)
}

/// Stores which providers a route names, each once.
pub async fn set_providers(conn: &mut Connection, id: Uuid, providers: &[&str]) -> Result<(), Error> {
    query("delete from route_providers where route_id = $1").bind(id).execute(&mut *conn).await?;
    for provider in providers {
        query("insert into route_providers (route_id, provider) values ($1, $2)")
            .bind(id)
            .bind(*provider)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

pub async fn get(conn: &mut Connection, project_id: Uuid, id: Uuid) -> Result<Option<RouteRow>, Error> {
    query(
        "select id, project_id, name, position, definition, created_at, updated_at from routes \
         where project_id = $1 and id = $2",
    )
    .bind(project_id)
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// In the order in which they are judged, those after position `after`.
pub async fn list(
    conn: &mut Connection,
    project_id: Uuid,
    after: i64,
    limit: i64,
) -> Result<Vec<RouteRow>, Error> {
    query(
        "select id, project_id, name, position, definition, created_at, updated_at from routes \
         where project_id = $1 and position > $2 order by position limit $3",
    )
    .bind(project_id)
    .bind(after)
    .bind(limit)
    .fetch_all(conn)
    .await
}

pub async fn count(conn: &mut Connection, project_id: Uuid) -> Result<i64, Error> {
    query("select count(*) from routes where project_id = $1").bind(project_id).scalar(conn).await
}

pub async fn count_by_provider(conn: &mut Connection, provider: &str) -> Result<i64, Error> {
    query("select count(*) from route_providers where provider = $1").bind(provider).scalar(conn).await
}

/// Moves those from position `from` up to `to` by `by`.
pub async fn shift(
    conn: &mut Connection,
    project_id: Uuid,
    from: i64,
    to: i64,
    by: i64,
) -> Result<(), Error> {
    query(
        "update routes set position = position + $4 \
         where project_id = $1 and position >= $2 and position <= $3",
    )
    .bind(project_id)
    .bind(from)
    .bind(to)
    .bind(by)
    .execute(conn)
    .await
    .map(drop)
}

pub async fn delete(conn: &mut Connection, id: Uuid) -> Result<(), Error> {
    query("delete from routes where id = $1").bind(id).execute(conn).await.map(drop)
}
