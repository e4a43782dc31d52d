//! The running service: what is started, in which order, and how it ends.

use crate::api::{self, Access, ManagementTokens, MetricsTokens, TrustedProxies};
use crate::chance::{self, NoRandom};
use crate::clock;
use crate::config::{Config, EventLogKind};
use crate::domain::{self, Act, Domain};
use crate::events::consume::CONSUMER;
use crate::events::log::database::DatabaseLog;
use crate::events::log::redis::{RedisLog, RedisSettings};
use crate::events::log::{self, LogError};
use crate::events::{Consumer, ConsumerSettings, Durability, Duty, EventLog, Ingest};
use crate::metrics::Metrics;
use crate::sinks::kind::Surroundings;
use crate::sinks::supervisor::Supervisor;
use crate::snapshot::{self, PublisherSettings};
use crate::store::{self, Store, migrate};
use crate::vault::Vault;
use shared::snapshot::signed::SnapshotSigner;
use shared::token::TagKeys;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;
use zeroize::Zeroizing;

#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Migrate(#[from] migrate::Failure),
    #[error("the database cannot be opened: {0}; check DATABASE_URL")]
    Database(#[from] store::Error),
    #[error("the built-in providers and prices cannot be stored: {0}")]
    Seed(#[from] domain::Error),
    #[error("the event log cannot be used: {0}")]
    EventLog(#[from] LogError),
    #[error(transparent)]
    Random(#[from] NoRandom),
    #[error("cannot listen on {0}: {1}; choose another LISTEN_ADDR, or end what uses it")]
    Listen(SocketAddr, #[source] std::io::Error),
}

/// Started, bound, and not yet serving.
#[derive(Debug)]
pub struct App {
    listener: TcpListener,
    router: api::Router,
    store: Store,
    publisher: JoinHandle<()>,
    consumers: Vec<JoinHandle<()>>,
    durability: watch::Receiver<Option<Durability>>,
    end: watch::Sender<bool>,
}

impl App {
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new(clock::now()));
        let applied = migrate::up(&config.database_url).await?;
        if !applied.is_empty() {
            tracing::info!(?applied, "migrations applied");
        }
        let store = Store::connect(&config.database_url).await?.measured(metrics.database.clone());
        let logs = Logs::open(&config, &store)?;
        if config.events.is_strict {
            logs.chosen.check().await?;
        }
        // Before anything that runs by itself, so that a port in use leaves nothing behind.
        let listener = TcpListener::bind(config.listen_addr)
            .await
            .map_err(|error| StartError::Listen(config.listen_addr, error))?;
        let (end, shutdown) = watch::channel(false);
        let settings = publisher_settings(&config);
        let (snapshot, publisher) =
            snapshot::start_measured(settings, store.clone(), metrics.publisher.clone(), shutdown.clone());
        let counted = watch::Sender::default();
        let (ingest, consumers) = events(&config, &store, &logs, &metrics, &counted);
        let (known, durability) = watch::channel(None);
        let vault = Arc::new(Vault {
            deployment_id: config.deployment_id,
            at_rest: config.keys.encryption,
            edge: config.keys.edge_credential,
        });
        let surroundings = Arc::new(Surroundings {
            file_dir: config.sinks.file_dir,
            allow_private: config.network.allow_private_upstreams,
        });
        let sinks = Supervisor {
            store: store.clone(),
            vault: Arc::clone(&vault),
            surroundings: Arc::clone(&surroundings),
            counted: counted.subscribe(),
            clock: clock::now,
            holder: Uuid::from_bytes(chance::bytes()?),
        };
        let domain = Domain {
            store: store.clone(),
            snapshot,
            tags: TagKeys::from(&config.keys.token_tag),
            vault,
            allow_private_upstreams: config.network.allow_private_upstreams,
            surroundings,
        };
        let act = Act::system(clock::now());
        domain.seed_providers(&act).await?;
        domain.seed_prices(&act).await?;
        let access = Access {
            management: ManagementTokens::new(config.management_tokens),
            metrics: MetricsTokens::new(config.metrics_tokens),
            proxies: TrustedProxies::new(config.network.trusted_proxies),
        };
        let router = api::router(domain, access, Arc::new(ingest), &metrics);
        let mut consumers: Vec<_> =
            consumers.into_iter().map(|consumer| tokio::spawn(consumer.run(shutdown.clone()))).collect();
        consumers.push(tokio::spawn(sinks.run(shutdown.clone())));
        tokio::spawn(log::watch::watch(logs.chosen, known));
        Ok(Self { listener, router, store, publisher, consumers, durability, end })
    }

    /// Where it listens; the real port if port 0 was asked for.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What the event log may lose, as it was found last; none before it answers.
    pub fn durability(&self) -> watch::Receiver<Option<Durability>> {
        self.durability.clone()
    }

    /// Serves until `stop` ends; then finishes the requests in flight, lets the
    /// publisher tell what it still has and the consumers finish what they began,
    /// and closes the database.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
        let result = api::serve(self.listener, self.router, stop).await;
        self.end.send(true).ok();
        if let Err(error) = self.publisher.await {
            tracing::error!(%error, "the publisher failed");
        }
        for consumer in self.consumers {
            if let Err(error) = consumer.await {
                tracing::error!(%error, "the consumer of events failed");
            }
        }
        self.store.close().await;
        tracing::info!("stopped");
        result
    }
}

/// The log that takes events in, and the other one, which is drained.
struct Logs {
    chosen: Arc<dyn EventLog>,
    other: Option<Arc<dyn EventLog>>,
}

impl Logs {
    fn open(config: &Config, store: &Store) -> Result<Self, LogError> {
        let settings = RedisSettings::new(config.events.is_strict, clock::now);
        let redis = match &config.events.redis {
            Some(address) => Some(RedisLog::new(address, &config.deployment_id, settings)?),
            None => None,
        };
        let redis = redis.map(|log| Arc::new(log) as Arc<dyn EventLog>);
        let database: Arc<dyn EventLog> = Arc::new(DatabaseLog::new(store.clone()));
        Ok(match (config.events.log, redis) {
            (EventLogKind::Redis, Some(redis)) => Self { chosen: redis, other: Some(database) },
            // Redis is chosen with its address only: see `config`.
            (EventLogKind::Database | EventLogKind::Redis, redis) => Self { chosen: database, other: redis },
        })
    }
}

/// What takes events in, and what counts them.
fn events(
    config: &Config,
    store: &Store,
    logs: &Logs,
    metrics: &Metrics,
    counted: &watch::Sender<()>,
) -> (Ingest, Vec<Consumer>) {
    let Logs { chosen, other } = logs;
    let wake = Arc::new(Notify::new());
    let consumer = |log: &Arc<dyn EventLog>, wake: &Arc<Notify>, duty| {
        let retention_days = config.events.retention_days;
        let settings = ConsumerSettings { retention_days, clock: clock::now, duty };
        Consumer::new(store.clone(), Arc::clone(log), Arc::clone(wake), settings, metrics.consumer(CONSUMER))
            .telling(counted.clone())
    };
    let mut consumers = vec![consumer(chosen, &wake, Duty::Count)];
    consumers.extend(other.iter().map(|other| consumer(other, &Arc::default(), Duty::Drain)));
    let ingest =
        Ingest::new(config.keys.edge_ingest.clone(), Arc::clone(chosen), wake, metrics.ingest.clone());
    (ingest.beside(other.clone()), consumers)
}

pub(crate) fn publisher_settings(config: &Config) -> PublisherSettings {
    let signers: Vec<SnapshotSigner> =
        config.keys.snapshot_signing.iter().map(|key| SnapshotSigner::new(key.bytes())).collect();
    PublisherSettings {
        deployment_id: config.deployment_id.clone(),
        kv_api_base: config.kv.api_base.clone(),
        kv_namespace_id: config.kv.namespace_id.clone(),
        cloudflare_api_token: config
            .kv
            .api_token
            .as_ref()
            .map(|token| Zeroizing::new(token.reveal().to_owned())),
        signer: Arc::new(SnapshotSigner::new(config.keys.snapshot_signing.primary().bytes())),
        verifier: signers.iter().collect(),
        heartbeat: config.publisher.heartbeat,
        settle: config.publisher.settle,
        lease: config.publisher.lease,
        clock: clock::now,
    }
}
