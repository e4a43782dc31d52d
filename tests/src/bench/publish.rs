//! What the publisher costs at a million tokens, beside reading the same rows
//! and beside the same change at a thousand.

use super::report::{Row, median};
use crate::keys;
use crate::kv::{KvServer, NAMESPACE};
use crate::postgres::Postgres;
use control_plane::clock;
use control_plane::snapshot::by_hand::ByHand;
use control_plane::snapshot::{PublisherSettings, SnapshotHandle, start};
use control_plane::store::sql::{query, query_each};
use control_plane::store::{Store, migrate, orders, outbox};
use shared::snapshot::MANIFEST_KEY;
use shared::snapshot::signed::SnapshotVerifier;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

const MANY: i64 = 1_000_000;
const FEW: i64 = 1_000;
const ROUNDS: usize = 15;
/// What a compilation must know of each token. It reads the few projects apart,
/// and joins nothing.
const ROWS: &str = "select t.id, t.secret_hash, t.expires_at, t.revoked_at, p.number \
                    from tokens t join projects p on p.id = t.project_id order by t.id";

/// A database with tokens in it.
struct Source {
    store: Store,
    /// Prints [`ROWS`].
    reader: Box<dyn Fn() -> Command>,
    _folder: TempDir,
}

impl Source {
    async fn sqlite(tokens: i64) -> Self {
        let folder = TempDir::new().unwrap();
        let file: PathBuf = folder.path().join("latchkey.db");
        let store = filled(&format!("sqlite://{}?mode=rwc", file.display()), tokens).await;
        let reader = move || {
            let mut command = Command::new("sqlite3");
            command.arg(&file).arg(ROWS);
            command
        };
        Self { store, reader: Box::new(reader), _folder: folder }
    }

    async fn postgres(tokens: i64) -> Self {
        let url = Postgres::shared().create_database();
        let store = filled(&url, tokens).await;
        let reader = move || {
            let mut command = Postgres::shared().command("psql");
            command.args(["--no-psqlrc", "-qAt", "-d", &url, "-c", ROWS]);
            command
        };
        Self { store, reader: Box::new(reader), _folder: TempDir::new().unwrap() }
    }

    /// How long it takes to read the rows with the database's own client.
    fn read_by_its_client(&self) -> Duration {
        let started = Instant::now();
        let mut command = (self.reader)();
        let status = command.stdout(Stdio::null()).status().expect("sqlite3 and psql are needed");
        assert!(status.success());
        started.elapsed()
    }
}

/// One provider, one project, and tokens issued one a second up to now.
async fn filled(url: &str, tokens: i64) -> Store {
    migrate::up(url).await.unwrap();
    let store = Store::connect(url).await.unwrap();
    let mut tx = store.write().await.unwrap();
    let provider =
        serde_json::to_string(&crate::fixture::providers("https://example.com").providers[0]).unwrap();
    query("insert into providers (name, definition, is_built_in, created_at, updated_at) values ('openai', $1, true, 0, 0)")
        .bind(provider)
        .execute(&mut tx)
        .await
        .unwrap();
    let project = Uuid::from_u128(1);
    query("insert into projects (id, number, name, default_provider, is_active, on_stale, max_snapshot_age, created_at, updated_at) values ($1, 1, 'demo', 'openai', true, 'serve', 86400, 0, 0)")
        .bind(project)
        .execute(&mut tx)
        .await
        .unwrap();
    let first = clock::now().cast_signed() - tokens * 1_000;
    query_each(
        "insert into tokens (id, project_id, name, secret_hash, created_at)
         with recursive n (i) as (select 0 union all select i + 1 from n where i + 1 < $2)
         select unhex(printf('%012x', $1 + i * 1000) || '7' || substr(hex(randomblob(2)), 2) || '8'
                      || substr(hex(randomblob(8)), 2)),
                $3, '', randomblob(32), $1 + i * 1000 from n",
        "insert into tokens (id, project_id, name, secret_hash, created_at)
         select (lpad(to_hex($1 + i * 1000), 12, '0') || '7' || substr(md5(random()::text), 1, 3) || '8'
                 || substr(md5(random()::text), 1, 15))::uuid,
                $3, '', decode(md5(random()::text) || md5(random()::text), 'hex'), $1 + i * 1000
         from generate_series(0, $2 - 1) as i",
    )
    .bind(first)
    .bind(tokens)
    .bind(project)
    .execute(&mut tx)
    .await
    .unwrap();
    outbox::project_changed(&mut tx, project, 1).await.unwrap();
    tx.commit().await.unwrap();
    if url.starts_with("postgres") {
        // What the server would do by itself after so many rows, in the midst of what is measured.
        Postgres::shared().psql(url, "vacuum analyze");
        Postgres::shared().psql(url, "checkpoint");
    }
    store
}

fn settings(kv: &KvServer) -> PublisherSettings {
    PublisherSettings {
        deployment_id: keys::DEPLOYMENT.into(),
        kv_api_base: kv.rest_base().parse().unwrap(),
        kv_namespace_id: NAMESPACE.into(),
        cloudflare_api_token: None,
        signer: Arc::new(keys::signer()),
        verifier: SnapshotVerifier::from(&keys::signer()),
        heartbeat: Duration::from_hours(1),
        settle: Duration::ZERO,
        lease: Duration::from_secs(10),
        clock: clock::now,
    }
}

/// Reads everything, makes all objects, uploads them, and publishes.
async fn publish_everything(source: &Source, kv: &KvServer) -> Duration {
    let mut publisher = ByHand::start(settings(kv), source.store.clone()).await.unwrap();
    publisher.publish(clock::now()).await.unwrap();
    publisher.finish_work(clock::now()).await.unwrap();
    let mut tx = source.store.write().await.unwrap();
    orders::place(&mut tx, orders::Kind::Rebuild).await.unwrap();
    tx.commit().await.unwrap();
    kv.clear();
    let started = Instant::now();
    publisher.publish(clock::now()).await.unwrap();
    publisher.finish_work(clock::now()).await.unwrap();
    publisher.publish(clock::now()).await.unwrap();
    let took = started.elapsed();
    assert!(kv.raw(MANIFEST_KEY).is_some() && !kv.keys("shard/").is_empty());
    took
}

/// A full compilation and publication beside the database's own client.
pub async fn whole() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, client, source) in [
        ("SQLite", "sqlite3", Source::sqlite(MANY).await),
        ("PostgreSQL", "psql", Source::postgres(MANY).await),
    ] {
        let kv = KvServer::start().await;
        // The first of each warms the page cache.
        source.read_by_its_client();
        let floor = source.read_by_its_client().min(source.read_by_its_client());
        let took = publish_everything(&source, &kv).await;
        let took = took.min(publish_everything(&source, &kv).await);
        let what = format!("compile and publish {MANY} tokens, {name}");
        rows.push(Row::ratio(&what, took, &format!("{client} reads the rows"), floor, 3.0));
    }
    rows
}

/// A publisher that runs over a base of so many tokens.
struct Running {
    source: Source,
    kv: KvServer,
    handle: SnapshotHandle,
    _stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(source: Source) -> Self {
        let kv = KvServer::start().await;
        publish_everything(&source, &kv).await;
        let (stop, stopped) = watch::channel(false);
        let (handle, task) = start(settings(&kv), source.store.clone(), stopped);
        handle.publish_now().await.unwrap();
        Self { source, kv, handle, _stop: stop, task }
    }

    /// From the commit of a change to its manifest in KV, and that one's length.
    async fn change(&self) -> (Duration, usize) {
        // Beyond the pause between two writes.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let before = self.kv.raw(MANIFEST_KEY).unwrap();
        let mut tx = self.source.store.write().await.unwrap();
        let token: Uuid =
            query("select id from tokens order by id desc limit 1").scalar(&mut tx).await.unwrap();
        query("update tokens set revoked_at = coalesce(revoked_at, 0) + 1 where id = $1")
            .bind(token)
            .execute(&mut tx)
            .await
            .unwrap();
        outbox::token_changed(&mut tx, token, clock::now()).await.unwrap();
        tx.commit().await.unwrap();
        let started = Instant::now();
        self.handle.changed();
        loop {
            let now = self.kv.raw(MANIFEST_KEY).unwrap();
            if now != before {
                return (started.elapsed(), now.len());
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One change among a million tokens beside one among a thousand.
pub async fn one_change() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, many, few) in [
        ("SQLite", Source::sqlite(MANY).await, Source::sqlite(FEW).await),
        ("PostgreSQL", Source::postgres(MANY).await, Source::postgres(FEW).await),
    ] {
        let (many, few) = (Running::start(many).await, Running::start(few).await);
        let mut took = [Vec::new(), Vec::new()];
        let mut written = [0, 0];
        for _ in 0..ROUNDS {
            // In turn, so that whatever else happens on the machine happens to both.
            for (at, running) in [&many, &few].into_iter().enumerate() {
                let (duration, bytes) = running.change().await;
                took[at].push(duration);
                written[at] = bytes;
            }
        }
        let [many_took, few_took] = took.map(median);
        rows.push(Row::ratio(
            &format!("one change among {MANY} tokens, {name}"),
            many_took,
            &format!("among {FEW}"),
            few_took,
            1.2,
        ));
        #[expect(clippy::cast_precision_loss, reason = "lengths of manifests")]
        let ratio = written[0] as f64 / written[1] as f64;
        rows.push(Row {
            what: format!("bytes written for it, {name}"),
            measured: format!("{} B", written[0]),
            beside: format!("among {FEW}: {} B", written[1]),
            ratio: Some(ratio),
            to_reach: "at most 1.5".into(),
            is_reached: ratio <= 1.5,
        });
    }
    rows
}
