//! Tokens, projects and providers as the edge needs them.
//!
//! `base_id` names the current base, 0 when there is none; what changed since
//! is what the outbox says and that base does not include.

mod projects;

pub use projects::{changed_project_numbers, changed_projects, profile, project, project_page};

use super::Error;
use crate::store::sql::{query, query_each};
use crate::store::{Connection, from_db, to_db};
use shared::id::{self, UnixMs};
use shared::provider::Provider;
use shared::snapshot::config::Providers;
use shared::snapshot::record::{ProfileNumber, ProjectNumber, TokenRecord};
use sqlx::FromRow;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

#[derive(FromRow)]
struct TokenRow {
    id: Uuid,
    secret_hash: Vec<u8>,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    number: i64,
    profile: Option<i64>,
}

/// The present state of every token that changed since the base.
pub async fn changed_tokens(conn: &mut Connection, base_id: i64) -> Result<Vec<TokenRecord>, Error> {
    let rows: Vec<TokenRow> = query(
        "select t.id, t.secret_hash, t.expires_at, t.revoked_at, p.number, f.number as profile
         from tokens t join projects p on p.id = t.project_id left join profiles f on f.id = t.profile_id
         where t.id in (select token_id from outbox
                        where token_id is not null and (base_id is null or base_id <> $1))",
    )
    .bind(base_id)
    .fetch_all(conn)
    .await?;
    rows.iter().map(record).collect()
}

/// Which tokens changed since the base.
pub async fn changed_token_ids(conn: &mut Connection, base_id: i64) -> Result<Vec<Uuid>, Error> {
    query(
        "select distinct token_id from outbox
         where token_id is not null and (base_id is null or base_id <> $1)",
    )
    .bind(base_id)
    .scalars(conn)
    .await
}

/// What a token's record says of its project, of every project: few beside the
/// tokens, so that no token need be joined with its own.
#[derive(Debug)]
pub struct Owners(HashMap<Uuid, (ProjectNumber, i64)>);

impl Owners {
    pub async fn read(conn: &mut Connection) -> Result<Self, Error> {
        let rows: Vec<(Uuid, i64, i64)> =
            query("select id, number, tokens_valid_from from projects").fetch_all(conn).await?;
        let owner = |(id, owner, valid_from)| Ok((id, (number(owner)?, valid_from)));
        rows.into_iter().map(owner).collect::<Result<_, Error>>().map(Self)
    }
}

/// One page of a walk through the tokens.
#[derive(Debug)]
pub struct TokenPage {
    pub records: Vec<TokenRecord>,
    /// The last id looked at, after which the next page begins; none at the end.
    pub last: Option<Uuid>,
}

/// A page as the database hands it over: each column as one value. Of a million
/// rows that come singly, most of the time goes into waking who waits for the next.
#[derive(FromRow)]
struct PageRow {
    ids: Option<Vec<u8>>,
    project_ids: Option<Vec<u8>>,
    secret_hashes: Option<Vec<u8>>,
    /// Separated by commas; nothing where it never expires.
    expire: Option<String>,
    /// A digit each.
    are_revoked: Option<String>,
    /// Of those that have a profile; null where none has.
    limited_ids: Option<Vec<u8>>,
    /// Their profiles' ids.
    profile_ids: Option<Vec<u8>>,
    /// How many secret hashes have another length than they should.
    odd_hashes: Option<i64>,
}

/// Tokens with an id above `after` and below `below`, by id. Those that ended
/// before `ended_before` are left out: until then the edge can still say *why*
/// it refuses them.
pub async fn token_page(
    conn: &mut Connection,
    owners: &Owners,
    after: Uuid,
    below: Uuid,
    ended_before: UnixMs,
    limit: u32,
) -> Result<TokenPage, Error> {
    let page: PageRow = query_each(
        "select cast(group_concat(id, '') as blob) as ids, cast(group_concat(project_id, '') as blob) as project_ids,
         cast(group_concat(secret_hash, '') as blob) as secret_hashes,
         group_concat(coalesce(expires_at, '')) as expire, group_concat(revoked_at is not null, '') as are_revoked,
         cast(group_concat(case when profile_id is not null then id end, '') as blob) as limited_ids,
         cast(group_concat(profile_id, '') as blob) as profile_ids,
         sum(case when length(secret_hash) = 32 then 0 else 1 end) as odd_hashes
         from (select * from tokens where id > $1 and id < $2 and (expires_at is null or expires_at > $3)
               and (revoked_at is null or revoked_at > $3) order by id limit $4)",
        "select string_agg(uuid_send(id), '') as ids, string_agg(uuid_send(project_id), '') as project_ids,
         string_agg(secret_hash, '') as secret_hashes,
         string_agg(coalesce(expires_at::text, ''), ',') as expire,
         string_agg(case when revoked_at is null then '0' else '1' end, '') as are_revoked,
         string_agg(case when profile_id is not null then uuid_send(id) end, '') as limited_ids,
         string_agg(uuid_send(profile_id), '') as profile_ids,
         cast(sum(case when length(secret_hash) = 32 then 0 else 1 end) as bigint) as odd_hashes
         from (select * from tokens where id > $1 and id < $2 and (expires_at is null or expires_at > $3)
               and (revoked_at is null or revoked_at > $3) order by id limit $4) page",
    )
    .bind(after)
    .bind(below)
    .bind(to_db(ended_before))
    .bind(i64::from(limit))
    .fetch_one(&mut *conn)
    .await?;
    let PageRow {
        ids: Some(ids),
        project_ids: Some(project_ids),
        secret_hashes: Some(secret_hashes),
        expire: Some(expire),
        are_revoked: Some(are_revoked),
        limited_ids,
        profile_ids,
        odd_hashes: Some(odd_hashes),
    } = page
    else {
        return Ok(TokenPage { records: Vec::new(), last: None });
    };
    let (ids, rest_of_ids) = ids.as_chunks::<16>();
    let (project_ids, rest_of_project_ids) = project_ids.as_chunks::<16>();
    let (secret_hashes, rest_of_hashes) = secret_hashes.as_chunks::<32>();
    let are_whole = [rest_of_ids, rest_of_project_ids, rest_of_hashes].iter().all(|rest| rest.is_empty());
    let lengths = [project_ids.len(), secret_hashes.len(), expire.split(',').count(), are_revoked.len()];
    if odd_hashes != 0 || !are_whole || lengths != [ids.len(); 4] || !ids.is_sorted() {
        return Err(Error::Protocol("a page of tokens does not fit together".into()));
    }
    let profiles =
        profiles_of(conn, &limited_ids.unwrap_or_default(), &profile_ids.unwrap_or_default()).await?;
    let ends = expire.split(',').zip(are_revoked.bytes());
    let tokens = ids.iter().zip(project_ids).zip(secret_hashes).zip(ends);
    let mut records = Vec::with_capacity(ids.len());
    for (((id, project_id), secret_hash), (expires_at, is_revoked)) in tokens {
        let id = Uuid::from_bytes(*id);
        let owner = owners.0.get(&Uuid::from_bytes(*project_id));
        let (number, valid_from) = *owner.ok_or(Error::RowNotFound)?;
        let is_in_force = id::issued_at(id).is_none_or(|issued_at| to_db(issued_at) >= valid_from);
        if is_in_force || valid_from > to_db(ended_before) {
            let expires_at =
                if expires_at.is_empty() { None } else { Some(from_db(expires_at.parse().map_err(decode)?)) };
            let record = TokenRecord::new(id, secret_hash, expires_at, number, is_revoked == b'1');
            records.push(record.with_profile(profiles.get(&id).copied()));
        }
    }
    Ok(TokenPage { records, last: ids.last().map(|id| Uuid::from_bytes(*id)) })
}

/// The profiles' numbers of the tokens on a page that have one. Many may share a profile.
async fn profiles_of(
    conn: &mut Connection,
    ids: &[u8],
    profile_ids: &[u8],
) -> Result<HashMap<Uuid, ProfileNumber>, Error> {
    let (ids, rest) = ids.as_chunks::<16>();
    let (profile_ids, rest_of_profiles) = profile_ids.as_chunks::<16>();
    if !rest.is_empty() || !rest_of_profiles.is_empty() || ids.len() != profile_ids.len() {
        return Err(Error::Protocol("the profiles of a page of tokens do not fit together".into()));
    }
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let distinct: HashSet<String> =
        profile_ids.iter().map(|id| format!("\"{}\"", Uuid::from_bytes(*id).simple())).collect();
    let rows: Vec<(Uuid, i64)> = query_each(
        "select id, number from profiles where id in (select unhex(value) from json_each($1))",
        "select id, number from profiles where id in (select value::uuid from json_array_elements_text($1::json))",
    )
    .bind(format!("[{}]", distinct.into_iter().collect::<Vec<_>>().join(",")))
    .fetch_all(conn)
    .await?;
    let numbers: HashMap<Uuid, i64> = rows.into_iter().collect();
    let pair = |(id, profile_id): (&[u8; 16], &[u8; 16])| {
        let found = numbers.get(&Uuid::from_bytes(*profile_id)).ok_or(Error::RowNotFound)?;
        Ok((Uuid::from_bytes(*id), number(*found)?))
    };
    ids.iter().zip(profile_ids).map(pair).collect()
}

/// A token as the database has it, whether or not it is in the snapshot.
#[derive(Clone, Copy, Debug)]
pub struct StoredToken {
    pub record: TokenRecord,
    /// Its project's `tokens_valid_from` is later than its issue.
    pub is_revoked_with_all: bool,
}

/// All tokens with an id above `after` and below `below`, by id.
pub async fn all_tokens_page(
    conn: &mut Connection,
    after: Uuid,
    below: Uuid,
    limit: u32,
) -> Result<Vec<StoredToken>, Error> {
    let rows: Vec<AnyTokenRow> = query(
        "select t.id, t.secret_hash, t.expires_at, t.revoked_at, p.number, f.number as profile,
         t.created_at < p.tokens_valid_from as is_revoked_with_all
         from tokens t join projects p on p.id = t.project_id left join profiles f on f.id = t.profile_id
         where t.id > $1 and t.id < $2 order by t.id limit $3",
    )
    .bind(after)
    .bind(below)
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let is_revoked_with_all = row.is_revoked_with_all;
            Ok(StoredToken { record: record(&row.token)?, is_revoked_with_all })
        })
        .collect()
}

#[derive(FromRow)]
struct AnyTokenRow {
    #[sqlx(flatten)]
    token: TokenRow,
    is_revoked_with_all: bool,
}

fn record(row: &TokenRow) -> Result<TokenRecord, Error> {
    let secret_hash = row.secret_hash.as_slice().try_into().map_err(decode)?;
    let expires_at = row.expires_at.map(from_db);
    let profile = row.profile.map(number).transpose()?;
    let record =
        TokenRecord::new(row.id, secret_hash, expires_at, number(row.number)?, row.revoked_at.is_some());
    Ok(record.with_profile(profile))
}

/// All providers. One whose definition cannot be read is left out, so that the
/// edge refuses it; it must not keep a revocation from being published.
pub async fn providers(conn: &mut Connection) -> Result<Providers, Error> {
    let rows: Vec<(String, String)> =
        query("select name, definition from providers order by name").fetch_all(conn).await?;
    let mut providers = Vec::with_capacity(rows.len());
    for (name, definition) in rows {
        match serde_json::from_str::<Provider>(&definition) {
            Ok(provider) => providers.push(provider),
            Err(error) => tracing::error!(provider = name, %error, "provider left out of the snapshot"),
        }
    }
    Ok(Providers { providers })
}

fn number(value: i64) -> Result<u32, Error> {
    u32::try_from(value).map_err(decode)
}

fn decode(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Decode(Box::new(error))
}
