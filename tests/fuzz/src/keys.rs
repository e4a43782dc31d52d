//! Fixed keys, those of the golden files: a fuzzer cannot guess a signature or a
//! seal, so the targets make them.

use shared::key::{Key, KeyRing};
use shared::snapshot::signed::{SnapshotSigner, SnapshotVerifier};
use shared::token::TagKeys;
use std::sync::LazyLock;

pub static SIGNER: LazyLock<SnapshotSigner> = LazyLock::new(|| SnapshotSigner::new(&[1; 32]));
pub static VERIFIER: LazyLock<SnapshotVerifier> = LazyLock::new(|| SnapshotVerifier::from(&*SIGNER));
pub static RING: LazyLock<KeyRing> = LazyLock::new(|| KeyRing::from(Key::new([1; 32])));
pub static TAGS: LazyLock<TagKeys> = LazyLock::new(|| TagKeys::from(&*RING));
