//! The table `publisher_lease`: one row, who publishes the snapshot.

use super::sql::query;
use super::{Connection, Error};
use sqlx::FromRow;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct LeaseRow {
    pub holder: Option<Uuid>,
    /// Grows with every change of the row.
    pub beat: i64,
}

pub async fn get(conn: &mut Connection) -> Result<LeaseRow, Error> {
    query("select holder, beat from publisher_lease").fetch_one(conn).await
}

/// Takes the lease, unless it changed since `beat` was seen; says whether.
pub async fn take(conn: &mut Connection, holder: Uuid, beat: i64) -> Result<bool, Error> {
    let statement = query("update publisher_lease set holder = $1, beat = beat + 1 where beat = $2");
    Ok(statement.bind(holder).bind(beat).execute(conn).await? == 1)
}

/// Whether `holder` still has it.
pub async fn renew(conn: &mut Connection, holder: Uuid) -> Result<bool, Error> {
    let statement = query("update publisher_lease set beat = beat + 1 where holder = $1");
    Ok(statement.bind(holder).execute(conn).await? == 1)
}

/// Whether `holder` still has it, and keeps it until the transaction ends: an
/// update that changes nothing locks the row.
pub async fn guard(conn: &mut Connection, holder: Uuid) -> Result<bool, Error> {
    let statement = query("update publisher_lease set holder = holder where holder = $1");
    Ok(statement.bind(holder).execute(conn).await? == 1)
}

/// Gives it back, if `holder` still has it.
pub async fn release(conn: &mut Connection, holder: Uuid) -> Result<(), Error> {
    query("update publisher_lease set holder = null, beat = beat + 1 where holder = $1")
        .bind(holder)
        .execute(conn)
        .await
        .map(drop)
}
