//! The table `snapshot_unreferenced`: objects in KV that no base names, and
//! since when that is known.

use super::sql::query;
use super::{Connection, Error, from_db, to_db};
use shared::id::UnixMs;

pub async fn all(conn: &mut Connection) -> Result<Vec<(String, UnixMs)>, Error> {
    let rows: Vec<(String, i64)> =
        query("select key, since from snapshot_unreferenced").fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(key, since)| (key, from_db(since))).collect())
}

pub async fn insert(conn: &mut Connection, key: &str, since: UnixMs) -> Result<(), Error> {
    query("insert into snapshot_unreferenced (key, since) values ($1, $2)")
        .bind(key)
        .bind(to_db(since))
        .execute(conn)
        .await
        .map(drop)
}

pub async fn remove(conn: &mut Connection, key: &str) -> Result<(), Error> {
    query("delete from snapshot_unreferenced where key = $1").bind(key).execute(conn).await.map(drop)
}

/// Forgets all: what a restored database says of KV is of another time.
pub async fn clear(conn: &mut Connection) -> Result<(), Error> {
    query("delete from snapshot_unreferenced").execute(conn).await.map(drop)
}
