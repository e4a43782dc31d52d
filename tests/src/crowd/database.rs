//! A crowd in the control plane's tables, put there in bulk: through the API it
//! would take hours.

use super::{Crowd, provider};
use crate::fixture;
use crate::keys;
use control_plane::store::credentials::{self, CredentialRow};
use control_plane::store::projects::{self, ProjectRow};
use control_plane::store::sql::{query, query_each};
use control_plane::store::{Store, Tx, migrate, orders};
use shared::id::UnixMs;
use shared::key::KeyRing;
use shared::provider::Provider;
use shared::sealed::Sealed;
use std::time::Duration;

const TOKENS_A_STATEMENT: u64 = 20_000;
/// Id of the token, id of its project, hash of its secret.
const ROW_LEN: usize = 64;

/// Makes the schema and fills it; the projects' provider is at `upstream`. The
/// publisher finds an order to make all objects.
pub async fn fill(url: &str, crowd: &Crowd, upstream: &str) {
    migrate::up(url).await.unwrap();
    let store = Store::connect(url).await.unwrap();
    let provider = provider(upstream);
    let mut tx = store.write().await.unwrap();
    query("insert into providers (name, definition, is_built_in, created_at, updated_at) values ($1, $2, false, 0, 0)")
        .bind(&provider.name)
        .bind(serde_json::to_string(&provider).unwrap())
        .execute(&mut tx)
        .await
        .unwrap();
    for number in 1..=crowd.projects {
        fill_project(&mut tx, crowd, number, &provider).await;
    }
    // It is quicker to make it of all than to keep it with each.
    query("drop index tokens_by_project").execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let mut first = 0;
    while first < crowd.tokens {
        let end = crowd.tokens.min(first + TOKENS_A_STATEMENT);
        fill_tokens(&store, crowd, first, end).await;
        first = end;
    }
    let mut tx = store.write().await.unwrap();
    query("create index tokens_by_project on tokens (project_id, id)").execute(&mut tx).await.unwrap();
    // PostgreSQL does that by itself, later.
    query_each("select 1", "analyze").execute(&mut tx).await.unwrap();
    orders::place(&mut tx, orders::Kind::Rebuild).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
}

async fn fill_project(tx: &mut Tx, crowd: &Crowd, number: u32, provider: &Provider) {
    let project = crowd.project(number, provider);
    let row = ProjectRow {
        id: project.id,
        number: 0,
        name: format!("project {number}"),
        default_provider: project.default_provider,
        is_active: true,
        tokens_valid_from: 0,
        on_stale: "serve".to_owned(),
        max_snapshot_age: project.max_snapshot_age.cast_signed(),
        stream_usage: "ask".to_owned(),
        capture: None,
        policy: None,
        created_at: 1,
        updated_at: 1,
        deactivated_at: None,
    };
    assert_eq!(projects::insert(tx, &row).await.unwrap().number, i64::from(number));
    for credential in project.credentials {
        let binding = Crowd::binding(number, credential.id, provider);
        let row = CredentialRow {
            id: credential.id,
            project_id: project.id,
            provider: credential.provider.clone(),
            label: "of the crowd".to_owned(),
            hint: "6789".to_owned(),
            weight: 1,
            priority: 0,
            is_active: true,
            encrypted: at_rest(binding, &keys::encryption_keys()),
            sealed: credential.sealed.as_str().to_owned(),
            origin: provider.origin().to_owned(),
            created_at: 2,
            updated_at: 2,
        };
        credentials::insert(tx, &row).await.unwrap();
    }
}

fn at_rest(binding: shared::sealed::Binding<'_>, keys: &KeyRing) -> String {
    let nonce = binding.credential_id.as_bytes()[4..].try_into().unwrap();
    Sealed::seal(fixture::UPSTREAM_KEY, binding, keys, nonce).unwrap().as_str().to_owned()
}

/// Tokens from `first` to before `end`, as one value.
async fn fill_tokens(store: &Store, crowd: &Crowd, first: u64, end: u64) {
    let mut rows = Vec::with_capacity(usize::try_from(end - first).unwrap() * ROW_LEN);
    for number in first..end {
        let token = crowd.token(number);
        rows.extend_from_slice(token.id().as_bytes());
        rows.extend_from_slice(Crowd::project_id(crowd.project_of(number)).as_bytes());
        rows.extend_from_slice(&token.secret_hash());
    }
    let gap: UnixMs = crowd.issued_at(1) - crowd.issued_at(0);
    let mut tx = store.write().await.unwrap();
    // Each project is there: to look for it once more for each of its tokens takes longer than all the rest.
    query_each("select 1", "set local session_replication_role = replica").execute(&mut tx).await.unwrap();
    query_each(
        "insert into tokens (id, project_id, name, secret_hash, created_at)
         with recursive n (i) as (select 0 union all select i + 1 from n where i + 1 < $2)
         select substr($1, i * 64 + 1, 16), substr($1, i * 64 + 17, 16), '', substr($1, i * 64 + 33, 32),
                $3 + i * $4 from n",
        "insert into tokens (id, project_id, name, secret_hash, created_at)
         select encode(substring($1 from (i * 64 + 1)::int for 16), 'hex')::uuid,
                encode(substring($1 from (i * 64 + 17)::int for 16), 'hex')::uuid, '',
                substring($1 from (i * 64 + 33)::int for 32), $3 + i * $4
         from generate_series(0, $2 - 1) as i",
    )
    .bind(rows)
    .bind((end - first).cast_signed())
    .bind(crowd.issued_at(first).cast_signed())
    .bind(gap.cast_signed())
    .execute(&mut tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
}

/// How long a crowd of that size may take to be published for the first time.
pub fn patience(crowd: &Crowd) -> Duration {
    Duration::from_mins(1) + Duration::from_micros(60 * crowd.tokens)
}
