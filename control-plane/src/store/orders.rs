//! The table `snapshot_orders`: what the publisher is asked to do. A row for
//! each kind, with the number of the last order and of the last one done.

use super::sql::query;
use super::{Connection, Error};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Publish, whether or not anything changed.
    Publish,
    /// Read the whole database, and make all objects anew.
    Rebuild,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Rebuild => "rebuild",
        }
    }
}

/// The number of the new order.
pub async fn place(conn: &mut Connection, kind: Kind) -> Result<i64, Error> {
    query("update snapshot_orders set requested = requested + 1 where kind = $1 returning requested")
        .bind(kind.name())
        .scalar(conn)
        .await
}

/// The newest order that is not done.
pub async fn pending(conn: &mut Connection, kind: Kind) -> Result<Option<i64>, Error> {
    query("select requested from snapshot_orders where kind = $1 and requested > done")
        .bind(kind.name())
        .scalar_optional(conn)
        .await
}

/// Answers `order` and all before it.
pub async fn done(conn: &mut Connection, kind: Kind, order: i64, error: Option<&str>) -> Result<(), Error> {
    query("update snapshot_orders set done = $2, error = $3 where kind = $1 and done < $2")
        .bind(kind.name())
        .bind(order)
        .bind(error.map(str::to_owned))
        .execute(conn)
        .await
        .map(drop)
}

/// How `order`, or one that came with it, ended; none if it has not.
pub async fn outcome(
    conn: &mut Connection,
    kind: Kind,
    order: i64,
) -> Result<Option<Result<(), String>>, Error> {
    let row: Option<(Option<String>,)> =
        query("select error from snapshot_orders where kind = $1 and done >= $2")
            .bind(kind.name())
            .bind(order)
            .fetch_optional(conn)
            .await?;
    Ok(row.map(|(error,)| error.map_or(Ok(()), Err)))
}
