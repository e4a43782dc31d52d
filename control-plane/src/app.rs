//! The running service: what is started, in which order, and how it ends.

use crate::api::{self, Access, ManagementTokens, MetricsTokens, TrustedProxies};
use crate::clock;
use crate::config::Config;
use crate::domain::{self, Act, Domain};
use crate::events::consume::CONSUMER;
use crate::events::log::database::DatabaseLog;
use crate::events::{Consumer, ConsumerSettings, EventLog, Ingest};
use crate::metrics::Metrics;
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
use zeroize::Zeroizing;

#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Migrate(#[from] migrate::Failure),
    #[error("the database cannot be opened: {0}; check DATABASE_URL")]
    Database(#[from] store::Error),
    #[error("the built-in providers and prices cannot be stored: {0}")]
    Seed(#[from] domain::Error),
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
    consumer: JoinHandle<()>,
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
        // Before anything that runs by itself, so that a port in use leaves nothing behind.
        let listener = TcpListener::bind(config.listen_addr)
            .await
            .map_err(|error| StartError::Listen(config.listen_addr, error))?;
        let (end, shutdown) = watch::channel(false);
        let settings = publisher_settings(&config);
        let (snapshot, publisher) =
            snapshot::start_measured(settings, store.clone(), metrics.publisher.clone(), shutdown.clone());
        let (ingest, consumer) = events(&config, &store, &metrics);
        let domain = Domain {
            store: store.clone(),
            snapshot,
            tags: TagKeys::from(&config.keys.token_tag),
            vault: Arc::new(Vault {
                deployment_id: config.deployment_id,
                at_rest: config.keys.encryption,
                edge: config.keys.edge_credential,
            }),
            allow_private_upstreams: config.network.allow_private_upstreams,
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
        let consumer = tokio::spawn(consumer.run(shutdown));
        Ok(Self { listener, router, store, publisher, consumer, end })
    }

    /// Where it listens; the real port if port 0 was asked for.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` ends; then finishes the requests in flight, lets the
    /// publisher tell what it still has and the consumer finish what it began,
    /// and closes the database.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
        let result = api::serve(self.listener, self.router, stop).await;
        self.end.send(true).ok();
        if let Err(error) = self.publisher.await {
            tracing::error!(%error, "the publisher failed");
        }
        if let Err(error) = self.consumer.await {
            tracing::error!(%error, "the consumer of events failed");
        }
        self.store.close().await;
        tracing::info!("stopped");
        result
    }
}

/// What takes events in, and what counts them.
fn events(config: &Config, store: &Store, metrics: &Metrics) -> (Ingest, Consumer) {
    let log: Arc<dyn EventLog> = Arc::new(DatabaseLog::new(store.clone()));
    let wake = Arc::new(Notify::new());
    let settings = ConsumerSettings { retention_days: config.events.retention_days, clock: clock::now };
    let counted = metrics.consumer(CONSUMER);
    let consumer = Consumer::new(store.clone(), Arc::clone(&log), Arc::clone(&wake), settings, counted);
    let keys = config.keys.edge_ingest.clone();
    (Ingest::new(keys, log, wake, metrics.ingest.clone()), consumer)
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
