//! Bodies pass as they are, in both directions, however large.

use axum::body::Bytes;
use futures_util::stream;
use latchkey_tests::edge::call::send;
use latchkey_tests::edge::odd::GZIPPED;
use latchkey_tests::edge::upstream::{TRACE, trace};
use latchkey_tests::edge::{EdgeStack, shared};
use reqwest::{Body, RequestBuilder};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::fmt::Write;
use std::time::Duration;

const MB: usize = 1024 * 1024;
const UPLOAD: &str = "/openai/v1/audio/transcriptions";

/// `count` different pieces of 64 KiB, and the SHA-256 of them all.
fn pieces(count: usize) -> (Body, String) {
    let piece = |number: usize| Bytes::from(vec![u8::try_from(number % 251).unwrap(); 0x1_0000]);
    let mut hash = Sha256::new();
    (0..count).for_each(|number| hash.update(piece(number)));
    let body =
        Body::wrap_stream(stream::iter((0..count).map(move |number| Ok::<_, Infallible>(piece(number)))));
    (body, hex(&hash.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[tokio::test]
async fn a_body_of_90_mb_streams_through_and_memory_stays_flat() {
    upload_90_mb(|request| request.header("content-length", 90 * MB)).await;
}

/// Counted on its way, chunk by chunk.
#[tokio::test]
async fn so_does_one_of_undeclared_length() {
    upload_90_mb(|request| request).await;
}

async fn upload_90_mb(declare: impl FnOnce(RequestBuilder) -> RequestBuilder) {
    let edge = EdgeStack::warm(1_000).await;
    let (body, sha256) = pieces(90 * 16);
    let before = edge.workerd.process().resident();
    let mut upload = Box::pin(send(declare(edge.post(UPLOAD).bearer_auth(&edge.token)).body(body)));
    let mut peak = before;
    let reply = loop {
        tokio::select! {
            reply = &mut upload => break reply,
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                peak = peak.max(edge.workerd.process().resident());
            }
        }
    };
    reply.assert_ok();
    assert_eq!(reply.json()["bytes"], 90 * MB);
    assert_eq!(reply.json()["sha256"], sha256);
    let grown = (peak - before) / MB as u64;
    assert!(grown < 40, "workerd grew by {grown} MB");
}

#[tokio::test]
async fn a_chunked_body_arrives_whole() {
    let edge = shared();
    let trace = trace();
    let (body, sha256) = pieces(100);
    let upload = edge.post(UPLOAD).bearer_auth(&edge.tokens.valid).header(TRACE, &trace).body(body);
    let reply = send(upload).await;
    reply.assert_ok();
    assert_eq!(reply.json()["sha256"], sha256);
    assert_eq!(edge.upstream.only(&trace).await["headers"]["transfer-encoding"][0], "chunked");
}

#[tokio::test]
async fn an_empty_body_and_one_without_meaning_pass() {
    let edge = shared();
    for body in [Vec::new(), vec![0], (0..=255).collect()] {
        let sha256 = hex(&Sha256::digest(&body));
        let reply = send(edge.post(UPLOAD).bearer_auth(&edge.tokens.valid).body(body)).await;
        reply.assert_ok();
        assert_eq!(reply.json()["sha256"], sha256);
    }
}

/// Its end is seen, so it is unpacked and packed again; the header tells with how
/// much effort.
#[tokio::test]
async fn a_compressed_answer_passes_compressed() {
    let edge = shared();
    for accepted in ["gzip", "br, gzip, deflate", "zstd"] {
        let request = edge.get("/odd/v1/models/gzip").header("accept-encoding", accepted);
        let reply = send(request.bearer_auth(&edge.tokens.valid)).await;
        reply.assert_ok();
        assert_eq!(reply.header("content-encoding"), Some("gzip"));
        let but_for_effort = |body: &[u8]| [&body[..8], &body[9..]].concat();
        assert_eq!(but_for_effort(&reply.body), but_for_effort(&GZIPPED));
    }
}

#[tokio::test]
async fn what_encodings_a_client_accepts_is_what_the_upstream_hears() {
    let edge = shared();
    let request = edge.get("/odd/v1/models/encoding").header("accept-encoding", "zstd, identity;q=0.5");
    let reply = send(request.bearer_auth(&edge.tokens.valid)).await;
    assert_eq!(reply.text(), "Some(\"zstd, identity;q=0.5\")");
}

#[tokio::test]
async fn answers_without_a_body_pass() {
    let edge = shared();
    for status in [204, 304] {
        let reply = send(edge.get(&format!("/odd/v1/models/{status}")).bearer_auth(&edge.tokens.valid)).await;
        assert_eq!((reply.status, reply.code(), reply.body.len()), (status, None, 0));
        assert_eq!(reply.header("etag"), (status == 304).then_some("\"1\""));
    }
    let head = latchkey_tests::edge::call::client().head(edge.workerd.url("/odd/v1/models/gzip"));
    let reply = send(head.bearer_auth(&edge.tokens.valid)).await;
    assert_eq!((reply.status, reply.code(), reply.body.len()), (200, None, 0));
    assert_eq!(reply.header("content-length"), Some("39"));
}
