//! Which snapshot an isolate goes by, and when it must look for a newer one.
//! A bad manifest changes nothing; a missing one keeps the last good one.

use super::Snapshot;
use super::objects::Objects;
use shared::id::UnixMs;
use shared::snapshot::manifest::{Manifest, ManifestError};
use shared::snapshot::signed::SnapshotVerifier;
use std::rc::Rc;
use thiserror::Error;

/// An isolate that holds no snapshot refuses an older manifest than this.
pub const MAX_COLD_SNAPSHOT_AGE_MS: UnixMs = 24 * 60 * 60 * 1000;

/// A check that has not ended after this is taken for dead.
const CHECK_TIMEOUT_MS: UnixMs = 5_000;

#[derive(Debug, Default)]
pub struct Holder {
    objects: Rc<Objects>,
    current: Option<Held>,
    succeeded_at: Option<UnixMs>,
    failed_at: Option<UnixMs>,
    under_way_since: Option<UnixMs>,
}

#[derive(Clone, Debug)]
struct Held {
    snapshot: Rc<Snapshot>,
    /// The manifest as it came, to recognize it without decoding it again.
    raw: Rc<[u8]>,
}

/// What a request does about the manifest before it is decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    NotNeeded,
    InBackground,
    /// The request waits for it; how long is the runtime's to bound.
    First,
}

#[derive(Debug, Error)]
pub enum Refused {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("the manifest is of deployment {0}")]
    Deployment(String),
    #[error("the manifest is {0} s old, and this isolate holds none to compare it with")]
    TooOld(u64),
}

impl Holder {
    /// One that holds no snapshot yet; those to come are over `objects`.
    pub fn new(objects: Rc<Objects>) -> Self {
        Self { objects, ..Self::default() }
    }

    /// What is held of the immutable objects.
    pub fn objects(&self) -> &Rc<Objects> {
        &self.objects
    }

    pub fn current(&self) -> Option<Rc<Snapshot>> {
        self.current.as_ref().map(|held| held.snapshot.clone())
    }

    /// The version in force, and its manifest as it came.
    pub fn current_raw(&self) -> Option<(u64, &[u8])> {
        self.current.as_ref().map(|held| (held.snapshot.version(), &*held.raw))
    }

    pub fn check_needed(&self, now: UnixMs, interval: UnixMs) -> Check {
        let within = |at: Option<UnixMs>, span: UnixMs| at.is_some_and(|at| now.saturating_sub(at) <= span);
        if self.current.is_none() {
            return Check::First;
        }
        if within(self.succeeded_at, interval) {
            return Check::NotNeeded;
        }
        if within(self.succeeded_at, 2 * interval) {
            return if self.is_check_under_way(now) { Check::NotNeeded } else { Check::InBackground };
        }
        // After a failure, a request an interval waits, not each one.
        if within(self.failed_at, interval) { Check::NotNeeded } else { Check::First }
    }

    /// Whether some request has begun a check and it has not ended.
    pub fn is_check_under_way(&self, now: UnixMs) -> bool {
        self.under_way_since.is_some_and(|since| now.saturating_sub(since) <= CHECK_TIMEOUT_MS)
    }

    /// Whether the last check that ended failed.
    pub fn is_failing(&self) -> bool {
        self.failed_at > self.succeeded_at
    }

    pub fn check_began(&mut self, now: UnixMs) {
        self.under_way_since = Some(now);
    }

    pub fn check_failed(&mut self, now: UnixMs) {
        self.under_way_since = None;
        self.failed_at = Some(now);
    }

    /// Takes what a check has read. What it refuses changes nothing; that the
    /// check failed is for the caller to say.
    pub fn check_read(
        &mut self,
        raw: &[u8],
        verifier: &SnapshotVerifier,
        deployment_id: &str,
        now: UnixMs,
    ) -> Result<(), Refused> {
        self.adopt(raw, verifier, deployment_id, now)?;
        self.under_way_since = None;
        self.succeeded_at = Some(now);
        Ok(())
    }

    /// Takes what was read in KV's place, by the same rules; says whether it
    /// is in force now. For freshness that is a check that failed.
    pub fn copy_read(
        &mut self,
        raw: &[u8],
        verifier: &SnapshotVerifier,
        deployment_id: &str,
        now: UnixMs,
    ) -> Result<bool, Refused> {
        self.failed_at = Some(now);
        self.adopt(raw, verifier, deployment_id, now)
    }

    /// Says whether it was news.
    fn adopt(
        &mut self,
        raw: &[u8],
        verifier: &SnapshotVerifier,
        deployment_id: &str,
        now: UnixMs,
    ) -> Result<bool, Refused> {
        if self.current.as_ref().is_some_and(|held| *held.raw == *raw) {
            return Ok(false);
        }
        let manifest = Manifest::decode(raw, verifier)?;
        if manifest.deployment_id != deployment_id {
            return Err(Refused::Deployment(manifest.deployment_id));
        }
        match &self.current {
            None => {
                let age = now.saturating_sub(manifest.created_at);
                if age > MAX_COLD_SNAPSHOT_AGE_MS {
                    return Err(Refused::TooOld(age / 1000));
                }
            }
            // KV is eventually consistent: an older one is no news, and no failure.
            Some(held) if manifest.version <= held.snapshot.version() => return Ok(false),
            Some(_) => {}
        }
        let earlier = self.current.as_ref().map(|held| &held.snapshot);
        let snapshot = Snapshot::new(manifest, earlier, self.objects.clone());
        self.current = Some(Held { snapshot: Rc::new(snapshot), raw: raw.into() });
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::snapshot::manifest::Delta;
    use shared::snapshot::signed::SnapshotSigner;

    const SECOND: UnixMs = 1_000;
    const DAY: UnixMs = 24 * 60 * 60 * SECOND;
    const NOW: UnixMs = 10 * DAY;

    struct Fixture {
        holder: Holder,
        signer: SnapshotSigner,
    }

    impl Fixture {
        fn new() -> Self {
            Self { holder: Holder::default(), signer: SnapshotSigner::new(&[1; 32]) }
        }

        fn read(
            &mut self,
            version: u64,
            deployment: &str,
            created_at: UnixMs,
            now: UnixMs,
        ) -> Result<(), Refused> {
            let manifest = Manifest {
                deployment_id: deployment.into(),
                version,
                created_at,
                base: None,
                delta: Delta::default(),
            };
            let raw = manifest.encode(&self.signer).unwrap();
            self.holder.check_read(&raw, &SnapshotVerifier::from(&self.signer), "default", now)
        }

        fn version(&self) -> Option<u64> {
            self.holder.current().map(|snapshot| snapshot.version())
        }
    }

    #[test]
    fn only_newer_manifests_of_this_deployment_are_taken() {
        let mut f = Fixture::new();
        f.read(5, "default", NOW, NOW).unwrap();
        f.read(4, "default", NOW, NOW).unwrap();
        assert_eq!(f.version(), Some(5));
        assert!(matches!(f.read(6, "other", NOW, NOW), Err(Refused::Deployment(_))));
        assert!(f.holder.check_read(b"junk", &SnapshotVerifier::from(&f.signer), "default", NOW).is_err());
        assert_eq!(f.version(), Some(5));
        f.read(6, "default", NOW, NOW).unwrap();
        assert_eq!(f.version(), Some(6));
    }

    #[test]
    fn a_cold_isolate_refuses_an_old_manifest_but_a_warm_one_goes_on() {
        let mut f = Fixture::new();
        assert!(matches!(f.read(5, "default", NOW - DAY - 1, NOW), Err(Refused::TooOld(_))));
        assert_eq!(f.version(), None);
        f.read(5, "default", NOW - DAY, NOW).unwrap();
        f.read(6, "default", NOW - DAY - 1, NOW).unwrap();
        assert_eq!(f.version(), Some(6));
    }

    #[test]
    fn checks_are_due_as_the_last_success_recedes() {
        let mut f = Fixture::new();
        assert_eq!(f.holder.check_needed(NOW, SECOND), Check::First);
        f.read(5, "default", NOW, NOW).unwrap();
        assert_eq!(f.holder.check_needed(NOW + SECOND, SECOND), Check::NotNeeded);
        assert_eq!(f.holder.check_needed(NOW + SECOND + 1, SECOND), Check::InBackground);
        f.holder.check_began(NOW + SECOND + 1);
        assert_eq!(f.holder.check_needed(NOW + SECOND + 2, SECOND), Check::NotNeeded);
        assert_eq!(f.holder.check_needed(NOW + 2 * SECOND + 1, SECOND), Check::First);
    }

    #[test]
    fn after_a_failure_one_request_an_interval_waits() {
        let mut f = Fixture::new();
        f.read(5, "default", NOW, NOW).unwrap();
        f.holder.check_failed(NOW + 10 * SECOND);
        assert_eq!(f.holder.check_needed(NOW + 11 * SECOND, SECOND), Check::NotNeeded);
        assert_eq!(f.holder.check_needed(NOW + 11 * SECOND + 1, SECOND), Check::First);
    }
}
