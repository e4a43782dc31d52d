//! For unit tests: snapshots made by hand, and a world to read them from.

mod world;

pub(crate) use world::{Fault, World};

use crate::isolate::Isolate;
use crate::pipeline::Settings;
use crate::snapshot::objects::Object;
use shared::id::{self, UnixMs};
use shared::key::{Key, KeyRing};
use shared::policy::EndpointRule;
use shared::provider::{Api, Auth, Provider, Timeouts};
use shared::sealed::{Binding, Sealed};
use shared::snapshot::Hash;
use shared::snapshot::config::{self, Credential, OnStale, Project, ProjectSlice, Providers, StreamUsage};
use shared::snapshot::index::{Index, ShardRef, SliceRef};
use shared::snapshot::manifest::{Base, Delta, Manifest};
use shared::snapshot::record::TokenRecord;
use shared::snapshot::shard::Shard;
use shared::snapshot::signed::{SnapshotSigner, SnapshotVerifier};
use shared::token::{TagKeys, Token};
use std::collections::BTreeMap;
use std::rc::Rc;

pub(crate) const NOW: UnixMs = 1_795_444_000_000;
const DEPLOYMENT: &str = "default";

fn keys() -> KeyRing {
    KeyRing::from(Key::new([3; 32]))
}

pub(crate) fn ingest_keys() -> KeyRing {
    KeyRing::from(Key::new([4; 32]))
}

fn tags() -> TagKeys {
    TagKeys::from(&keys())
}

fn signer() -> SnapshotSigner {
    SnapshotSigner::new(&[1; 32])
}

/// Issued an hour ago, the `number`th after another.
pub(crate) fn token(number: u32) -> Token {
    let mut random = [0; 10];
    random[6..].copy_from_slice(&number.to_be_bytes());
    Token::new(id::new(NOW - 3_600_000 + UnixMs::from(number), &random), [7; 20])
}

pub(crate) fn text(token: &Token) -> String {
    token.reveal(&tags()).to_string()
}

pub(crate) fn record(number: u32, project: u32, is_revoked: bool) -> TokenRecord {
    TokenRecord::new(token(number).id(), &token(number).secret_hash(), None, project, is_revoked)
}

pub(crate) fn project(number: u32) -> Project {
    let (project_id, credential_id) = (id::new(1, &[1; 10]), id::new(1, &[2; 10]));
    let origin = "https://api.example";
    let binding =
        Binding { deployment_id: DEPLOYMENT, project_id, credential_id, provider: "openai", origin };
    let sealed = Sealed::seal("sk-upstream", binding, &keys(), [5; 12]).unwrap();
    Project {
        number,
        id: project_id,
        is_active: true,
        tokens_valid_from: 0,
        default_provider: "openai".into(),
        on_stale: OnStale::Serve,
        max_snapshot_age: 86_400,
        stream_usage: StreamUsage::default(),
        capture: None,
        policy: None,
        profiles: Vec::new(),
        routes: Vec::new(),
        credentials: vec![Credential {
            id: credential_id,
            provider: "openai".into(),
            weight: 1,
            priority: 0,
            sealed,
        }],
    }
}

pub(crate) fn providers() -> Providers {
    Providers {
        providers: vec![Provider {
            name: "openai".into(),
            base_url: "https://api.example".into(),
            auth: Auth { header: "authorization".into(), prefix: "Bearer ".into() },
            api: Api::OpenAi,
            allowed_endpoints: vec![EndpointRule { methods: vec!["GET".into()], path: "/v1/**".into() }],
            default_headers: BTreeMap::new(),
            allowed_headers: Vec::new(),
            timeouts: Timeouts::default(),
            policy: None,
        }],
    }
}

/// A manifest over `base`, with nothing in its delta.
pub(crate) fn manifest(version: u64, base: Option<Base>) -> Manifest {
    Manifest { deployment_id: DEPLOYMENT.into(), version, created_at: NOW, base, delta: Delta::default() }
}

/// Objects by what names them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compiled {
    pub(crate) contents: BTreeMap<String, (Object, Vec<u8>)>,
    pub(crate) base: Option<Base>,
}

impl Compiled {
    /// A shard for each list of records, a slice for each list of projects.
    pub(crate) fn new(shards: &[Vec<TokenRecord>], slices: &[Vec<u32>]) -> Self {
        let mut compiled = Self::default();
        let mut refs = (Vec::new(), Vec::new());
        for records in shards {
            let shard = Shard::build(records.clone());
            let first = shard.iter().next().unwrap().id();
            refs.0.push(ShardRef { first, hash: compiled.put(Object::Shard, shard.as_bytes()) });
        }
        for numbers in slices {
            let projects = numbers.iter().map(|number| project(*number)).collect();
            let slice = config::encode(&ProjectSlice { projects }).unwrap();
            refs.1.push(SliceRef { first: numbers[0], hash: compiled.put(Object::Projects, &slice) });
        }
        let providers = compiled.put(Object::Providers, &config::encode(&providers()).unwrap());
        let index = Index::build(&refs.0, &refs.1, providers).unwrap();
        let index = compiled.put(Object::Index, index.as_bytes());
        Self { base: Some(Base { index, compiled_at: 0 }), ..compiled }
    }

    /// Tokens 0 to 999 of project 1, ten in each shard.
    pub(crate) fn thousand() -> Self {
        let shard = |first: u32| (first..first + 10).map(|number| record(number, 1, false)).collect();
        Self::new(&(0..1000).step_by(10).map(shard).collect::<Vec<_>>(), &[vec![1]])
    }

    fn put(&mut self, object: fn(Hash) -> Object, content: &[u8]) -> Hash {
        let object = object(Hash::of(content));
        self.contents.insert(object.key(), (object, content.to_vec()));
        object.hash()
    }

    pub(crate) fn content(&self, object: Object) -> Vec<u8> {
        self.contents[&object.key()].1.clone()
    }
}

pub(crate) fn isolate() -> Rc<Isolate> {
    let settings = Settings {
        deployment_id: DEPLOYMENT.into(),
        tags: tags(),
        credential_keys: keys(),
        ingest_keys: ingest_keys(),
    };
    Rc::new(Isolate::new(settings, SnapshotVerifier::from(&signer()), 1_000, id::new(NOW, &[8; 10])))
}
