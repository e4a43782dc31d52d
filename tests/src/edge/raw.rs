//! HTTP/1.1 written by hand, where a client library would tidy it up or refuse.

use super::call::{assert_request_id, assert_shape};
use crate::fixture::UPSTREAM_KEY;
use shared::header;
use shared::provider::Api;
use shared::token::PREFIX;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct RawReply {
    /// 0 when the connection ended without an answer.
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl RawReply {
    /// The code of a refusal by the worker; what workerd itself answers has none.
    pub fn code(&self) -> Option<&str> {
        self.header(header::ERROR)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    #[track_caller]
    pub fn assert_refused(&self, status: u16, code: &str, api: Api) {
        assert_eq!((self.status, self.code()), (status, Some(code)), "{self:?}");
        assert_request_id(self.header(header::REQUEST_ID).unwrap());
        assert_shape(&serde_json::from_slice(&self.body).unwrap(), status, code, api);
    }
}

/// Sends `request` as it is, and reads one answer, which must tell no secret.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> RawReply {
    let mut connection = TcpStream::connect(address).await.unwrap();
    // It may refuse before it has read everything.
    let _ = connection.write_all(request).await;
    let reply = read_reply(&mut connection).await;
    let shown = format!("{}{}", reply.head, String::from_utf8_lossy(&reply.body));
    let request = String::from_utf8_lossy(request);
    let sent = request.split(PREFIX).skip(1).filter_map(|rest| rest.split_whitespace().next());
    for secret in sent.chain([UPSTREAM_KEY]) {
        assert!(!shown.contains(secret), "the answer tells {secret}: {shown}");
    }
    reply
}

pub async fn read_reply(connection: &mut (impl AsyncReadExt + Unpin)) -> RawReply {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 16 * 1024];
    loop {
        if let Some(reply) = parse(&bytes, false) {
            return reply;
        }
        match timeout(PATIENCE, connection.read(&mut piece)).await.expect("no answer") {
            Ok(length @ 1..) => bytes.extend_from_slice(&piece[..length]),
            Ok(0) | Err(_) => return parse(&bytes, true).unwrap(),
        }
    }
}

/// `None` while more is to come.
fn parse(bytes: &[u8], is_closed: bool) -> Option<RawReply> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return is_closed.then(|| RawReply { status: 0, head: String::new(), body: bytes.to_vec() });
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let reply = RawReply { status, head, body: bytes[end + 4..].to_vec() };
    let is_whole = match reply.header("content-length").map(|length| length.parse::<usize>().unwrap()) {
        Some(length) => reply.body.len() >= length,
        None if reply.header("transfer-encoding").is_some() => reply.body.ends_with(b"0\r\n\r\n"),
        None => matches!(status, 101 | 204 | 304),
    };
    (is_whole || is_closed).then_some(reply)
}
