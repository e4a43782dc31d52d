//! A flood of made-up tokens costs no look-up.

use latchkey_tests::edge::call::send;
use latchkey_tests::edge::compiled::compile;
use latchkey_tests::edge::{EdgeStack, MODEL, world};
use latchkey_tests::fixture;
use sha2::{Digest, Sha256};
use shared::key::{Key, KeyRing};
use shared::provider::Api;
use shared::token::{PREFIX, TagKeys, Token};
use std::fmt::Write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

const FLOOD: u32 = 10_000;
const AT_ONCE: u32 = 250;

/// The token's form and checksum are right; the key of its tag is not.
fn forged(token: &Token) -> String {
    token.reveal(&TagKeys::from(&KeyRing::from(Key::new([0x66; 32])))).to_string()
}

/// A stack whose tokens are in a shard, so that a look-up would have to read it.
async fn with_a_shard() -> EdgeStack {
    let stack = EdgeStack::empty(1_000).await;
    let mut manifest = stack.manifest(1);
    let records = manifest.delta.tokens.iter().collect();
    let projects = std::mem::take(&mut manifest.delta).projects;
    let mut compiled = compile(&stack, vec![records], vec![projects], &stack.providers());
    // All ids that a test makes lie in the shard's range.
    compiled.shards[0].first = Uuid::nil();
    manifest.base = Some(compiled.base(&stack));
    stack.publish(&manifest);
    stack
}

#[tokio::test]
async fn a_forged_token_with_a_right_checksum_is_malformed_and_reads_nothing() {
    let edge = with_a_shard().await;
    for token in [world::settled(1), world::fresh_token(2)] {
        edge.ask(&forged(&token)).await.assert_refused(401, "malformed_token", Api::OpenAi);
    }
    assert_eq!(edge.object_reads(), 0);
    // The same one with the right tag does.
    edge.ask(&edge.token).await.assert_ok();
    assert!(edge.object_reads() > 0);
}

#[tokio::test]
async fn ten_thousand_random_tokens_read_nothing() {
    let edge = with_a_shard().await;
    send(edge.get(MODEL)).await.assert_refused(401, "missing_token", Api::OpenAi);
    let mut connection = TcpStream::connect(edge.workerd.address()).await.unwrap();
    for batch in 0..FLOOD / AT_ONCE {
        let mut requests = String::new();
        for number in batch * AT_ONCE..(batch + 1) * AT_ONCE {
            let token = random_token(number);
            write!(requests, "GET {MODEL} HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {token}\r\n\r\n")
                .unwrap();
        }
        connection.write_all(requests.as_bytes()).await.unwrap();
        read_refusals(&mut connection, AT_ONCE).await;
    }
    assert_eq!(edge.object_reads(), 0);
}

/// By turns random characters, and a random token well-formed up to its tag, issued now.
fn random_token(number: u32) -> String {
    let random: [u8; 32] = Sha256::digest(number.to_le_bytes()).into();
    let id = shared::id::new(fixture::now(), random.first_chunk().unwrap());
    let text = forged(&Token::new(id, *random.last_chunk().unwrap()));
    if number.is_multiple_of(2) {
        text
    } else {
        PREFIX.chars().chain(text[PREFIX.len()..].chars().rev()).collect()
    }
}

/// Reads until `count` answers have come, all of them refusals of the token's form.
async fn read_refusals(connection: &mut TcpStream, count: u32) {
    const CODE: &str = "\"code\":\"malformed_token\"";
    let mut text = String::new();
    let mut piece = vec![0; 64 * 1024];
    while text.matches(CODE).count() < count as usize {
        let length = connection.read(&mut piece).await.unwrap();
        assert!(length > 0, "the connection ended: {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    assert_eq!(text.matches("HTTP/1.1 401 ").count(), count as usize);
}
