//! The real control plane over a real database, its publisher stepped by hand.

use crate::clock::{self, SECOND, Time};
use crate::database::{Database, Kind};
use crate::keys::{self, Listed};
use control_plane::domain::rotation::{self, Pace};
use control_plane::domain::{Act, Domain};
use control_plane::snapshot::by_hand::ByHand;
use control_plane::snapshot::{PublishError, PublisherSettings};
use control_plane::store::sql::{query, query_each};
use control_plane::store::{Store, orders, outbox, snapshot};
use control_plane::vault::Vault;
use latchkey_tests::keys::DEPLOYMENT;
use latchkey_tests::kv::{Fault, HeldWrite, KvServer, NAMESPACE, Side};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// In real time: what is held up longer was not what should have been.
const HOLD_LIMIT: Duration = Duration::from_secs(2);

pub(crate) struct ControlPlane {
    database: Database,
    pub(crate) kv: KvServer,
    pub(crate) listed: Listed,
    running: Option<Running>,
    /// What KV does to this side, and until when.
    fault: Option<(Fault, Time)>,
    /// A compaction whose last objects are on their way, and until when.
    slow: Option<(HeldWrite, Time)>,
}

struct Running {
    store: Store,
    publisher: ByHand,
    domain: Domain,
}

impl ControlPlane {
    pub(crate) async fn new(kind: Kind) -> Self {
        let (database, kv) = (Database::create(kind).await, KvServer::start().await);
        kv.take_changes();
        Self { database, kv, listed: Listed::first(), running: None, fault: None, slow: None }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) async fn start(&mut self) {
        let store = Store::connect(&self.database.url()).await.unwrap();
        let publisher = ByHand::start(self.settings(), store.clone()).await.unwrap();
        let vault = Vault {
            deployment_id: DEPLOYMENT.to_owned(),
            at_rest: keys::fixed(),
            edge: self.listed.credential_keys(),
        };
        let domain = Domain {
            store: store.clone(),
            snapshot: publisher.handle(),
            vault: Arc::new(vault),
            tags: self.listed.tags(),
            allow_private_upstreams: false,
            surroundings: Arc::default(),
        };
        self.running = Some(Running { store, publisher, domain });
    }

    /// As `kill -9` would, wherever its publisher is, if it runs.
    pub(crate) async fn kill(&mut self) -> bool {
        let Some(Running { store, publisher, domain }) = self.running.take() else { return false };
        drop((publisher, domain));
        self.slow = None;
        store.close().await;
        true
    }

    /// Dies when its manifest is on its way to KV, if it wrote one. What is
    /// returned lands when it is dropped, or told to.
    pub(crate) async fn kill_in_write(&mut self) -> Option<HeldWrite> {
        self.slow = None;
        self.apply_fault();
        let mut held = self.kv.hold_write("manifest/");
        let publisher = &mut self.running.as_mut()?.publisher;
        let is_caught = tokio::select! {
            biased;
            () = held.caught() => true,
            _ = publisher.publish(clock::now()) => false,
        };
        self.kill().await;
        is_caught.then_some(held)
    }

    pub(crate) async fn back_up(&mut self) {
        self.kill().await;
        self.database.back_up();
    }

    pub(crate) async fn restore(&mut self) {
        self.kill().await;
        self.database.restore();
    }

    /// Who calls the management API, and when.
    pub(crate) fn act() -> Act {
        Act::system(clock::now())
    }

    /// None while it is down.
    pub(crate) fn domain(&self) -> Option<&Domain> {
        self.apply_fault();
        self.running.as_ref().map(|running| &running.domain)
    }

    /// What the publisher's loop does when its time has come.
    pub(crate) async fn publish(&mut self) -> Result<(), PublishError> {
        self.apply_fault();
        let now = clock::now();
        if let Some((write, _)) = self.slow.take_if(|(_, until)| *until <= now) {
            drop(write);
        }
        // Held up, or failing, it would be waited for in real time.
        let is_work_awaited = self.slow.is_none() && self.fault().is_none();
        let Some(Running { publisher, .. }) = &mut self.running else { return Ok(()) };
        let mut outcome = publisher.publish(now).await;
        if outcome.is_err() {
            // Perhaps it was only told what became of earlier work beside it.
            outcome = publisher.publish(now).await;
        }
        if is_work_awaited {
            // Fails when its objects did not arrive: then it begins anew, in time.
            let _ = publisher.finish_work(now).await;
        }
        outcome
    }

    /// Orders that everything is read and made anew, if there is who would do it.
    pub(crate) async fn order_rebuild(&mut self) -> bool {
        let Some(Running { store, .. }) = &self.running else { return false };
        let mut tx = store.write().await.unwrap();
        orders::place(&mut tx, orders::Kind::Rebuild).await.unwrap();
        tx.commit().await.unwrap();
        true
    }

    /// Begins to read and make everything anew; that its last objects arrive
    /// takes until then. Not while another one is under way.
    pub(crate) async fn rebuild_slowly(&mut self, until: Time) -> Result<bool, PublishError> {
        // What runs at the moment would be in its way.
        self.publish().await?;
        if self.slow.is_some() || self.is_settling().await {
            return Ok(false);
        }
        self.order_rebuild().await;
        let mut held = self.kv.hold_write("index/");
        let Some(Running { publisher, .. }) = &mut self.running else { return Ok(false) };
        let both = async { tokio::join!(publisher.publish(clock::now()), held.caught()).0 };
        if let Ok(outcome) = tokio::time::timeout(HOLD_LIMIT, both).await {
            self.slow = Some((held, until));
            return outcome.map(|()| true);
        }
        drop(held);
        self.publish().await.map(|()| false)
    }

    /// Whether a base waits until it may be named; the next one does not begin before.
    async fn is_settling(&self) -> bool {
        let Some(Running { store, .. }) = &self.running else { return false };
        snapshot::is_settling(&mut store.read().await.unwrap()).await.unwrap()
    }

    pub(crate) async fn reseal(&self) {
        let Some(Running { store, domain, .. }) = &self.running else { return };
        let pace = Pace { delta_bytes: u64::MAX, patience: Duration::ZERO };
        rotation::reseal(store, &domain.vault, pace, clock::now, &mut |_, _| ()).await.unwrap();
    }

    /// So many tokens of a project that nobody uses, which fill the delta.
    pub(crate) async fn flood(&mut self, project: Uuid, count: u32, expires_at: Time) -> bool {
        let Some(Running { store, .. }) = &self.running else { return false };
        let mut tx = store.write().await.unwrap();
        let first = clock::now().cast_signed() - i64::from(count);
        query_each(
            "insert into tokens (id, project_id, name, secret_hash, created_at, expires_at)
             with recursive n (i) as (select 0 union all select i + 1 from n where i + 1 < $2)
             select unhex(printf('%012x', $1 + i) || '7' || substr(hex(randomblob(2)), 2) || '8'
                          || substr(hex(randomblob(8)), 2)),
                    $3, 'flood', randomblob(32), $1 + i, $4 from n",
            "insert into tokens (id, project_id, name, secret_hash, created_at, expires_at)
             select (lpad(to_hex($1 + i), 12, '0') || '7' || substr(md5(random()::text), 1, 3) || '8'
                     || substr(md5(random()::text), 1, 15))::uuid,
                    $3, 'flood', decode(md5(random()::text) || md5(random()::text), 'hex'), $1 + i, $4
             from generate_series(0, $2 - 1) as i",
        )
        .bind(first)
        .bind(i64::from(count))
        .bind(project)
        .bind(expires_at.cast_signed())
        .execute(&mut tx)
        .await
        .unwrap();
        query(
            "insert into outbox (token_id, created_at) select id, $1 from tokens
             where name = 'flood' and created_at >= $1",
        )
        .bind(first)
        .execute(&mut tx)
        .await
        .unwrap();
        outbox::providers_changed(&mut tx, clock::now()).await.unwrap();
        tx.commit().await.unwrap();
        true
    }

    /// Whether KV is well, as this side sees it.
    pub(crate) fn fault(&self) -> Option<(Fault, Time)> {
        self.fault.filter(|(_, until)| clock::now() < *until)
    }

    pub(crate) fn break_down(&mut self, fault: Fault, until: Time) {
        self.fault = Some((fault, until));
    }

    fn apply_fault(&self) {
        self.kv.set_fault(Side::Rest, self.fault().map_or(Fault::None, |(fault, _)| fault));
    }

    fn settings(&self) -> PublisherSettings {
        PublisherSettings {
            deployment_id: DEPLOYMENT.into(),
            kv_api_base: self.kv.rest_base().parse().unwrap(),
            kv_namespace_id: NAMESPACE.into(),
            cloudflare_api_token: None,
            signer: Arc::new(self.listed.signer()),
            verifier: self.listed.verifier(),
            heartbeat: Duration::from_millis(60 * SECOND),
            settle: Duration::from_millis(90 * SECOND),
            lease: Duration::from_secs(10),
            clock: clock::now,
        }
    }
}
