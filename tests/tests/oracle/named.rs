//! Which immutable objects manifests named, and when last: for a day after
//! that, an isolate may need them.

use crate::clock::{DAY, Time};
use crate::keys::Listed;
use latchkey_tests::kv::Change;
use shared::snapshot::index::Index;
use shared::snapshot::manifest::Manifest;
use shared::snapshot::{index_key, project_key, providers_key, shard_key};
use std::collections::HashMap;
use std::rc::Rc;

#[derive(Debug, Default)]
pub(crate) struct Named {
    last: HashMap<String, Time>,
    indexes: HashMap<String, Rc<[u8]>>,
}

impl Named {
    /// The error names an object that went too early.
    pub(crate) fn hear(&mut self, changes: &[Change], listed: &Listed, now: Time) -> Result<(), String> {
        for Change { key, value, .. } in changes {
            match value {
                Some(value) if key.starts_with("index/") => {
                    self.indexes.insert(key.clone(), value.as_slice().into());
                }
                Some(value) if key.starts_with("manifest/") => self.name(value, listed, now),
                Some(_) => {}
                None => match self.last.get(key) {
                    Some(last) if last + DAY > now => {
                        return Err(format!("{key} was deleted {} ms after a manifest named it", now - last));
                    }
                    Some(_) | None => {}
                },
            }
        }
        Ok(())
    }

    fn name(&mut self, manifest: &[u8], listed: &Listed, now: Time) {
        let manifest = Manifest::decode(manifest, &listed.verifier()).expect("the publisher's own manifest");
        let Some(base) = manifest.base else { return };
        let key = index_key(base.index);
        let index = self.indexes.get(&key).expect("a manifest names what was uploaded");
        let index = Index::from_bytes(index.to_vec()).unwrap();
        let shards = index.shards().map(|shard| shard_key(shard.hash));
        let slices = index.slices().map(|slice| project_key(slice.hash));
        for key in shards.chain(slices).chain([providers_key(index.providers()), key]) {
            self.last.insert(key, now);
        }
    }
}
