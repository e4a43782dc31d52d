//! The keys of a history, each kind by its generation. Not secret.

use shared::key::{Key, KeyRing};
use shared::snapshot::signed::{SnapshotSigner, SnapshotVerifier};
use shared::token::TagKeys;

/// Which key of its kind; each rotation makes the next.
pub(crate) type Generation = u8;

/// What one side lists of each kind: the first makes, all are accepted.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) signing: Vec<Generation>,
    pub(crate) tag: Vec<Generation>,
    pub(crate) credential: Vec<Generation>,
}

impl Listed {
    pub(crate) fn first() -> Self {
        Self { signing: vec![0], tag: vec![0], credential: vec![0] }
    }

    pub(crate) fn signer(&self) -> SnapshotSigner {
        signer(self.signing[0])
    }

    pub(crate) fn verifier(&self) -> SnapshotVerifier {
        let signers: Vec<SnapshotSigner> = self.signing.iter().map(|&of| signer(of)).collect();
        signers.iter().collect()
    }

    pub(crate) fn tags(&self) -> TagKeys {
        TagKeys::from(&ring(&self.tag, 100))
    }

    pub(crate) fn credential_keys(&self) -> KeyRing {
        ring(&self.credential, 200)
    }
}

/// A key that no side ever lists.
pub(crate) fn foreign_tags() -> TagKeys {
    TagKeys::from(&ring(&[0], 90))
}

/// Of the database and of signed calls, which no history rotates.
pub(crate) fn fixed() -> KeyRing {
    ring(&[0], 80)
}

fn signer(of: Generation) -> SnapshotSigner {
    SnapshotSigner::new(&[of + 1; 32])
}

fn ring(generations: &[Generation], kind: u8) -> KeyRing {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let keys: Vec<String> =
        generations.iter().map(|of| STANDARD.encode(Key::new([kind + of; 32]).bytes())).collect();
    KeyRing::from_base64_list(&keys.join(",")).unwrap()
}
