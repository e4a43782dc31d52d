//! One set of keys for a test's control plane and edge. Not secret: fixed.

use base64::{Engine, engine::general_purpose::STANDARD};
use shared::key::{Key, KeyRing};
use shared::snapshot::signed::SnapshotSigner;
use shared::token::TagKeys;

pub const MANAGEMENT_TOKEN: &str = "management-token-of-the-tests-0123456789";
pub const DEPLOYMENT: &str = "default";

const SIGNING: [u8; 32] = [11; 32];
const CREDENTIAL: [u8; 32] = [12; 32];
const TAG: [u8; 32] = [13; 32];
const INGEST: [u8; 32] = [14; 32];
const ENCRYPTION: [u8; 32] = [15; 32];

pub fn signer() -> SnapshotSigner {
    SnapshotSigner::new(&SIGNING)
}

pub fn credential_keys() -> KeyRing {
    KeyRing::from(Key::new(CREDENTIAL))
}

pub fn encryption_keys() -> KeyRing {
    KeyRing::from(Key::new(ENCRYPTION))
}

pub fn tags() -> TagKeys {
    TagKeys::from(&KeyRing::from(Key::new(TAG)))
}

pub fn ingest_keys() -> KeyRing {
    KeyRing::from(Key::new(INGEST))
}

/// What the worker is configured with.
pub fn edge_variables() -> Vec<(&'static str, String)> {
    vec![
        ("SNAPSHOT_VERIFY_KEY", STANDARD.encode(signer().verifying_key())),
        ("EDGE_CREDENTIAL_KEY", STANDARD.encode(CREDENTIAL)),
        ("TOKEN_TAG_KEY", STANDARD.encode(TAG)),
        ("EDGE_INGEST_KEY", STANDARD.encode(INGEST)),
        ("DEPLOYMENT_ID", DEPLOYMENT.to_owned()),
    ]
}

/// What the control plane is configured with.
pub fn control_plane_variables() -> Vec<(&'static str, String)> {
    vec![
        ("MANAGEMENT_TOKEN", MANAGEMENT_TOKEN.to_owned()),
        ("ENCRYPTION_KEY", STANDARD.encode(ENCRYPTION)),
        ("SNAPSHOT_SIGNING_KEY", STANDARD.encode(SIGNING)),
        ("EDGE_CREDENTIAL_KEY", STANDARD.encode(CREDENTIAL)),
        ("TOKEN_TAG_KEY", STANDARD.encode(TAG)),
        ("EDGE_INGEST_KEY", STANDARD.encode(INGEST)),
        ("DEPLOYMENT_ID", DEPLOYMENT.to_owned()),
        ("ALLOW_PRIVATE_UPSTREAMS", "true".to_owned()),
    ]
}
