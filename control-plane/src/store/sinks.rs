//! The table `sinks`: what people set, and how far the deliveries are.

use super::sql::query;
use super::{Connection, Error};
use sqlx::FromRow;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct SinkRow {
    pub id: Uuid,
    pub name: String,
    pub kind: String,
    /// JSON.
    pub settings: String,
    /// Encrypted.
    pub secret: Option<String>,
    pub is_active: bool,
    pub batch_size: i64,
    pub timeout_seconds: i64,
    /// Grows with every change by a person.
    pub version: i64,
    /// Everything up to here is delivered, a dead letter, or skipped.
    pub position: i64,
    pub delivered: i64,
    pub skipped: i64,
    /// Since the last success.
    pub failures: i64,
    pub error: Option<String>,
    pub failed_at: Option<i64>,
    pub delivered_at: Option<i64>,
    pub holder: Option<Uuid>,
    /// Grows while the holder lives.
    pub beat: i64,
    pub created_at: i64,
    pub updated_at: i64,
}

impl SinkRow {
    /// Without anything that a person sets, and before the first delivery.
    pub fn new(id: Uuid, created_at: i64) -> Self {
        Self {
            id,
            name: String::new(),
            kind: String::new(),
            settings: "{}".to_owned(),
            secret: None,
            is_active: true,
            batch_size: 1,
            timeout_seconds: 1,
            version: 1,
            position: 0,
            delivered: 0,
            skipped: 0,
            failures: 0,
            error: None,
            failed_at: None,
            delivered_at: None,
            holder: None,
            beat: 0,
            created_at,
            updated_at: created_at,
        }
    }
}

macro_rules! columns {
    () => {
        "id, name, kind, settings, secret, is_active, batch_size, timeout_seconds, version, position, delivered, \
         skipped, failures, error, failed_at, delivered_at, holder, beat, created_at, updated_at"
    };
}

pub async fn insert(conn: &mut Connection, row: &SinkRow) -> Result<(), Error> {
    query(concat!(
        "insert into sinks (",
        columns!(),
        ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"
    ))
    .bind(row.id)
    .bind(&row.name)
    .bind(&row.kind)
    .bind(&row.settings)
    .bind(row.secret.clone())
    .bind(row.is_active)
    .bind(row.batch_size)
    .bind(row.timeout_seconds)
    .bind(row.version)
    .bind(row.position)
    .bind(row.delivered)
    .bind(row.skipped)
    .bind(row.failures)
    .bind(row.error.clone())
    .bind(row.failed_at)
    .bind(row.delivered_at)
    .bind(row.holder)
    .bind(row.beat)
    .bind(row.created_at)
    .bind(row.updated_at)
    .execute(conn)
    .await
    .map(drop)
}

/// Stores what a person may change, as a new version: who delivers begins anew.
pub async fn update(conn: &mut Connection, row: &SinkRow) -> Result<(), Error> {
    query(
        "update sinks set name = $2, settings = $3, secret = $4, is_active = $5, batch_size = $6, \
         timeout_seconds = $7, updated_at = $8, version = version + 1 where id = $1",
    )
    .bind(row.id)
    .bind(&row.name)
    .bind(&row.settings)
    .bind(row.secret.clone())
    .bind(row.is_active)
    .bind(row.batch_size)
    .bind(row.timeout_seconds)
    .bind(row.updated_at)
    .execute(conn)
    .await
    .map(drop)
}

/// The same secret, encrypted anew.
pub async fn reseal(conn: &mut Connection, id: Uuid, secret: &str) -> Result<(), Error> {
    query("update sinks set secret = $2 where id = $1").bind(id).bind(secret).execute(conn).await.map(drop)
}

/// How many secrets a key sealed.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct SecretCount {
    /// May be no id at all, where what is stored is no seal.
    pub encryption_key: String,
    pub sinks: i64,
}

pub async fn count_by_key(conn: &mut Connection) -> Result<Vec<SecretCount>, Error> {
    query(
        "select substr(secret, 4, 16) as encryption_key, count(*) as sinks from sinks \
         where secret is not null group by 1 order by 1",
    )
    .fetch_all(conn)
    .await
}

pub async fn get(conn: &mut Connection, id: Uuid) -> Result<Option<SinkRow>, Error> {
    query(concat!("select ", columns!(), " from sinks where id = $1")).bind(id).fetch_optional(conn).await
}

/// Reads a sink and holds it until the transaction ends, as `projects::lock` does.
pub async fn lock(conn: &mut Connection, id: Uuid) -> Result<Option<SinkRow>, Error> {
    query(concat!("update sinks set version = version where id = $1 returning ", columns!()))
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// Newest first, made before `before`.
pub async fn list(conn: &mut Connection, before: Uuid, limit: i64) -> Result<Vec<SinkRow>, Error> {
    query(concat!("select ", columns!(), " from sinks where id < $1 order by id desc limit $2"))
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await
}

pub async fn all(conn: &mut Connection) -> Result<Vec<SinkRow>, Error> {
    query(concat!("select ", columns!(), " from sinks order by id")).fetch_all(conn).await
}

/// Until the transaction ends nobody else gets past this who makes a sink; unless there is none.
pub async fn lock_oldest(conn: &mut Connection) -> Result<(), Error> {
    query("update sinks set version = version where id = (select id from sinks order by id limit 1)")
        .execute(conn)
        .await
        .map(drop)
}

pub async fn count(conn: &mut Connection) -> Result<i64, Error> {
    query("select count(*) from sinks").scalar(conn).await
}

/// With its dead letters.
pub async fn delete(conn: &mut Connection, id: Uuid) -> Result<(), Error> {
    query("delete from sinks where id = $1").bind(id).execute(conn).await.map(drop)
}

/// Makes `holder` the one that delivers, unless the sink changed hands or its
/// holder lived since `beat` was seen; says whether.
pub async fn take(conn: &mut Connection, id: Uuid, holder: Uuid, beat: i64) -> Result<bool, Error> {
    let statement = query("update sinks set holder = $2, beat = beat + 1 where id = $1 and beat = $3");
    Ok(statement.bind(id).bind(holder).bind(beat).execute(conn).await? == 1)
}

/// Whether `holder` still is the one that delivers.
pub async fn renew(conn: &mut Connection, id: Uuid, holder: Uuid) -> Result<bool, Error> {
    let statement = query("update sinks set beat = beat + 1 where id = $1 and holder = $2");
    Ok(statement.bind(id).bind(holder).execute(conn).await? == 1)
}

pub async fn release(conn: &mut Connection, id: Uuid, holder: Uuid) -> Result<(), Error> {
    query("update sinks set holder = null, beat = beat + 1 where id = $1 and holder = $2")
        .bind(id)
        .bind(holder)
        .execute(conn)
        .await
        .map(drop)
}

/// How a delivery went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    pub from: i64,
    pub to: i64,
    pub delivered: i64,
    pub skipped: i64,
    pub at: i64,
}

/// Moves a sink on, if `holder` still delivers and nobody else moved it; says
/// whether. A delivery that succeeded ends its failures.
pub async fn advance(
    conn: &mut Connection,
    id: Uuid,
    holder: Uuid,
    advance: &Advance,
) -> Result<bool, Error> {
    let Advance { from, to, delivered, skipped, at } = *advance;
    let changed = query(
        "update sinks set position = $4, delivered = delivered + $5, skipped = skipped + $6, beat = beat + 1, \
         failures = 0, error = null, delivered_at = case when $5 > 0 then $7 else delivered_at end \
         where id = $1 and holder = $2 and position = $3",
    )
    .bind(id)
    .bind(holder)
    .bind(from)
    .bind(to)
    .bind(delivered)
    .bind(skipped)
    .bind(at)
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// Records that a delivery failed, if `holder` still delivers; says whether.
pub async fn fail(
    conn: &mut Connection,
    id: Uuid,
    holder: Uuid,
    error: &str,
    at: i64,
) -> Result<bool, Error> {
    let changed = query(
        "update sinks set failures = failures + 1, error = $3, failed_at = $4, beat = beat + 1 \
         where id = $1 and holder = $2",
    )
    .bind(id)
    .bind(holder)
    .bind(error)
    .bind(at)
    .execute(conn)
    .await?;
    Ok(changed == 1)
}
