//! The whole snapshot as KV has it at one moment.

use crate::keys;
use crate::kv::KvServer;
use shared::snapshot::config::{self, Project, ProjectSlice};
use shared::snapshot::index::Index;
use shared::snapshot::manifest::Manifest;
use shared::snapshot::record::TokenRecord;
use shared::snapshot::shard::Shard;
use shared::snapshot::signed::SnapshotVerifier;
use shared::snapshot::{Hash, MANIFEST_KEY, index_key, project_key, providers_key, shard_key};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Reads snapshots; what two have in common, once.
#[derive(Debug, Default)]
pub struct Reader {
    indexes: HashMap<Hash, Arc<Index>>,
    shards: HashMap<Hash, Arc<Shard>>,
    slices: HashMap<Hash, Arc<ProjectSlice>>,
}

#[derive(Debug)]
pub struct View {
    pub manifest: Manifest,
    index: Option<Arc<Index>>,
    shards: HashMap<Hash, Arc<Shard>>,
    slices: Vec<Arc<ProjectSlice>>,
}

impl Reader {
    /// What `manifest` and the objects in KV say; the error is what KV has not,
    /// or not as it should be.
    pub fn read(&mut self, kv: &KvServer, manifest: &[u8]) -> Result<View, String> {
        let verifier = SnapshotVerifier::from(&keys::signer());
        let manifest = Manifest::decode(manifest, &verifier).map_err(|error| error.to_string())?;
        let mut view = View { manifest, index: None, shards: HashMap::new(), slices: Vec::new() };
        let Some(base) = view.manifest.base else { return Ok(view) };
        let index = object(kv, &mut self.indexes, base.index, index_key, |bytes| {
            Index::from_bytes(bytes).map_err(|error| error.to_string())
        })?;
        for shard in index.shards() {
            let content = object(kv, &mut self.shards, shard.hash, shard_key, |bytes| {
                Shard::from_bytes(bytes).map_err(|error| error.to_string())
            })?;
            view.shards.insert(shard.hash, content);
        }
        for slice in index.slices() {
            view.slices.push(object(kv, &mut self.slices, slice.hash, project_key, |bytes| {
                config::decode(&bytes).map_err(|error| error.to_string())
            })?);
        }
        let providers = providers_key(index.providers());
        kv.raw(&providers).ok_or(format!("{providers} is missing"))?;
        view.index = Some(index);
        Ok(view)
    }
}

impl View {
    /// Of this moment; there must be one.
    pub fn now(kv: &KvServer) -> Self {
        Reader::default().read(kv, &kv.raw(MANIFEST_KEY).expect("a manifest")).unwrap()
    }

    pub fn token(&self, id: Uuid) -> Option<TokenRecord> {
        let in_base = || self.shards.get(&self.index.as_ref()?.shard_of(id)?)?.find(id);
        self.manifest.delta.tokens.find(id).or_else(in_base)
    }

    /// Each project, the newest state of it.
    pub fn projects(&self) -> HashMap<Uuid, &Project> {
        let in_base = self.slices.iter().flat_map(|slice| &slice.projects);
        in_base.chain(&self.manifest.delta.projects).map(|project| (project.id, project)).collect()
    }

    /// Whether it says that the token is revoked by itself.
    pub fn is_revoked(&self, id: Uuid) -> bool {
        self.token(id).is_some_and(|record| record.is_revoked())
    }
}

fn object<T>(
    kv: &KvServer,
    known: &mut HashMap<Hash, Arc<T>>,
    hash: Hash,
    key: fn(Hash) -> String,
    decode: impl FnOnce(Vec<u8>) -> Result<T, String>,
) -> Result<Arc<T>, String> {
    // Also one that was read before must still be there.
    let content = kv.raw(&key(hash)).ok_or_else(|| format!("{} is missing", key(hash)))?;
    if let Some(known) = known.get(&hash) {
        return Ok(Arc::clone(known));
    }
    if !hash.matches(&content) {
        return Err(format!("{} has another content", key(hash)));
    }
    let object = Arc::new(decode(content).map_err(|error| format!("{}: {error}", key(hash)))?);
    known.insert(hash, Arc::clone(&object));
    Ok(object)
}
