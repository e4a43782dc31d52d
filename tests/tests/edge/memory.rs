//! An isolate whose working set is larger than its memory: bounded, and right.

use latchkey_tests::edge::compiled::{compile, over};
use latchkey_tests::edge::{EdgeStack, ask, inside};
use latchkey_tests::fixture::{self, project, record};
use latchkey_tests::kv::Side;
use serde_json::Value;
use shared::id;
use shared::provider::Api;
use shared::snapshot::config::{Project, Providers};
use shared::snapshot::record::TokenRecord;
use shared::token::Token;

/// Of 256 KiB each: several times as much as an isolate holds.
const SHARDS: u32 = 96;
const SHARD_LEN: u64 = 4_096;
/// Somebody's tokens in each.
const OWNED: u32 = 13;
/// Of eight projects each, with ten credentials: more than it holds.
const SLICES: u32 = SHARDS * OWNED;
const SLICE_LEN: u32 = 8;
const MIB: u64 = 1024 * 1024;

/// Tokens by their place in a snapshot of many.
struct World {
    start: u64,
}

impl World {
    fn token(&self, at: u64) -> Token {
        let mut random = [0; 10];
        random[2..].copy_from_slice(&at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        Token::new(id::new(self.start + at, &random), [7; 20])
    }

    /// The first tokens are somebody's: one of the first project of each slice.
    fn shard(&self, number: u32) -> Vec<TokenRecord> {
        let first = u64::from(number) * SHARD_LEN;
        (0..SHARD_LEN)
            .map(|at| {
                let token = self.token(first + at);
                if at < u64::from(OWNED) {
                    let slice = number * OWNED + u32::try_from(at).unwrap();
                    record(&token, slice * SLICE_LEN + 1, None, false)
                } else {
                    TokenRecord::new(token.id(), &[0; 32], None, 1, false)
                }
            })
            .collect()
    }

    /// The secret of each token that is somebody's.
    fn secrets(&self) -> Vec<String> {
        let at = |slice: u32| u64::from(slice / OWNED) * SHARD_LEN + u64::from(slice % OWNED);
        (0..SLICES).map(|slice| fixture::text(&self.token(at(slice)))).collect()
    }
}

/// Ten credentials, each of the fixture's several times.
fn large_project(number: u32, of: &Project) -> Project {
    let credentials = of.credentials.iter().cycle().take(10).cloned().collect();
    Project { number, credentials, ..of.clone() }
}

fn publish(edge: &EdgeStack, world: &World) {
    let providers: Providers = edge.providers();
    // Beyond 255 the fixture's projects have one id, so that credentials fit them all.
    let like = project(256, &providers);
    let slice = |first: u32| (first..first + SLICE_LEN).map(|number| large_project(number, &like)).collect();
    let slices = (0..SLICES).map(|number| slice(number * SLICE_LEN + 1)).collect();
    let shards = (0..SHARDS).map(|number| world.shard(number)).collect();
    edge.publish(&over(compile(edge, shards, slices, &providers).base(edge), 1));
}

fn number(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path} in {value}"))
}

#[tokio::test]
async fn is_bounded_and_what_was_used_is_found_again() {
    let edge = EdgeStack::empty(60_000).await;
    let world = World { start: fixture::now() - 24 * 60 * 60 * 1000 };
    publish(&edge, &world);
    let secrets = world.secrets();
    let shard_reads = || edge.kv.reads(Side::Binding, "shard/");

    for secret in &secrets {
        ask(&edge.workerd, secret).await.assert_ok();
    }
    assert_eq!(shard_reads(), SHARDS as usize);
    let full = inside(&edge.workerd).await;
    assert!(number(&full, "/stats/objects/shards/bytes") <= 6 * MIB, "{full}");
    assert!(number(&full, "/stats/objects/shards/evictions") >= u64::from(SHARDS) / 3, "{full}");
    assert!(number(&full, "/stats/objects/slices/bytes") <= 22 * MIB, "{full}");
    assert!(number(&full, "/stats/objects/slices/evictions") > 0, "{full}");
    assert!(number(&full, "/memory_bytes") < 64_000_000, "{full}");

    // Their shards may be gone; they are not.
    for secret in secrets.iter().step_by(10) {
        ask(&edge.workerd, secret).await.assert_ok();
    }
    assert_eq!(shard_reads(), SHARDS as usize);

    // Those whose secret nobody has push out no token that was seen.
    for shard in 0..SHARDS {
        let unknown = fixture::text(&world.token(u64::from(shard + 1) * SHARD_LEN - 1));
        ask(&edge.workerd, &unknown).await.assert_refused(401, "invalid_token", Api::OpenAi);
    }
    let reads = shard_reads();
    assert!(reads > SHARDS as usize);
    for secret in secrets.iter().step_by(10) {
        ask(&edge.workerd, secret).await.assert_ok();
    }
    assert_eq!(shard_reads(), reads);
    let last = inside(&edge.workerd).await;
    assert_eq!(number(&last, "/stats/objects/records/count"), u64::from(SLICES));
    assert!(number(&last, "/memory_bytes") < 64_000_000, "{last}");
}
