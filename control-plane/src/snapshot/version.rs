//! Which version comes next, and what the manifest that is in KV means for it.

use super::error::PublishError;
use shared::id::UnixMs;
use shared::snapshot::manifest::{Manifest, ManifestError};
use shared::snapshot::signed::SnapshotVerifier;

/// Above every version that an edge can have seen: a database restored from a
/// backup, or a clock set back, must not fall behind its edges.
pub(super) fn next(last: u64, in_kv: Option<u64>, now: UnixMs) -> u64 {
    last.saturating_add(1).max(in_kv.unwrap_or(0).saturating_add(1)).max(now)
}

/// What was found under the manifest's key.
#[derive(Debug)]
pub(super) enum InKv {
    Missing,
    /// Of this deployment.
    Ours {
        version: u64,
        created_at: UnixMs,
    },
    /// Well signed, but of the deployment named.
    OtherDeployment(String),
    /// Damaged, or forged: it says nothing, and stops nothing.
    Unusable(ManifestError),
}

pub(super) fn judge(object: Option<&[u8]>, verifier: &SnapshotVerifier, deployment_id: &str) -> InKv {
    match object.map(|object| Manifest::decode(object, verifier)) {
        None => InKv::Missing,
        Some(Ok(Manifest { deployment_id: found, version, created_at, .. })) if found == deployment_id => {
            InKv::Ours { version, created_at }
        }
        Some(Ok(found)) => InKv::OtherDeployment(found.deployment_id),
        Some(Err(error)) => InKv::Unusable(error),
    }
}

/// The manifest, for who wants to see what is in it.
pub(super) fn read(
    object: Option<&[u8]>,
    verifier: &SnapshotVerifier,
    deployment_id: &str,
) -> Result<Manifest, PublishError> {
    let object = object.ok_or_else(|| PublishError::Told("there is no manifest in KV".to_owned()))?;
    let manifest = Manifest::decode(object, verifier)
        .map_err(|error| PublishError::Told(format!("the manifest in KV cannot be used: {error}")))?;
    if manifest.deployment_id == deployment_id {
        Ok(manifest)
    } else {
        Err(PublishError::OtherDeployment(manifest.deployment_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::snapshot::manifest::Delta;
    use shared::snapshot::signed::SnapshotSigner;

    #[test]
    fn the_version_is_above_all_that_were_seen() {
        for (last, in_kv, now, expected) in [
            (0, None, 1_000, 1_000),
            (999, None, 1_000, 1_000),
            (1_000, None, 1_000, 1_001),
            (2_000, None, 1_000, 2_001),
            (5, Some(3_000), 1_000, 3_001),
            (4_000, Some(3_000), 1_000, 4_001),
            (5, Some(u64::MAX), 1_000, u64::MAX),
        ] {
            assert_eq!(next(last, in_kv, now), expected, "{last} {in_kv:?} {now}");
        }
    }

    #[test]
    fn only_a_well_signed_manifest_counts() {
        let signer = SnapshotSigner::new(&[1; 32]);
        let verifier = SnapshotVerifier::from(&signer);
        let manifest = |deployment: &str| Manifest {
            deployment_id: deployment.into(),
            version: 7,
            created_at: 7,
            base: None,
            delta: Delta::default(),
        };
        let ours = manifest("a").encode(&signer).unwrap();
        assert!(matches!(judge(Some(&ours), &verifier, "a"), InKv::Ours { version: 7, created_at: 7 }));
        assert!(matches!(judge(Some(&ours), &verifier, "b"), InKv::OtherDeployment(id) if id == "a"));
        assert!(matches!(judge(None, &verifier, "a"), InKv::Missing));
        let forged = manifest("b").encode(&SnapshotSigner::new(&[2; 32])).unwrap();
        assert!(matches!(judge(Some(&forged), &verifier, "a"), InKv::Unusable(_)));
        assert!(matches!(judge(Some(&ours[1..]), &verifier, "a"), InKv::Unusable(_)));
    }
}
