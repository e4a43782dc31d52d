//! The manifest: as an object that anyone could have put into KV, and as a
//! payload that was signed.

use crate::keys::{SIGNER, VERIFIER};
use crate::memory::bounded;
use crate::{projects, providers, shard};
use shared::snapshot::manifest::Manifest;
use shared::snapshot::signed::Kind;

pub fn run(data: &[u8]) -> bool {
    read(data) | read(&SIGNER.sign(Kind::Manifest, data))
}

fn read(object: &[u8]) -> bool {
    let Ok(manifest) = bounded(object.len(), || Manifest::decode(object, &VERIFIER)) else { return false };
    look_up(&manifest);
    let again = manifest.encode(&SIGNER).unwrap();
    assert_eq!(Manifest::decode(&again, &VERIFIER).unwrap(), manifest);
    true
}

fn look_up(manifest: &Manifest) {
    for project in &manifest.delta.projects {
        assert_eq!(manifest.delta.project(project.number), Some(project));
        projects::open_all(project);
    }
    manifest.delta.providers.iter().for_each(providers::use_all);
    shard::look_up(&manifest.delta.tokens);
}
