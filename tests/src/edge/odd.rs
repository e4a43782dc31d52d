//! An upstream with answers that the example upstream does not give, below
//! `/v1/models/` and `/_fault/`, and three that do not even speak its protocol.

use super::raw;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// `{"text":"squeezed"}`
pub const GZIPPED: [u8; 39] = [
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 42, 73, 173, 40, 81, 178, 82, 42, 46, 44, 77, 77, 173, 74, 77,
    81, 170, 5, 0, 3, 249, 62, 43, 19, 0, 0, 0,
];

/// Headers by which an upstream would speak for the edge.
const PRETENDED: [(&str, &str); 3] = [
    ("x-latchkey-error", "invented"),
    ("x-latchkey-request-id", "invented"),
    ("x-latchkey-snapshot", "invented"),
];

pub async fn start() -> SocketAddr {
    let routes = Router::new()
        .route("/v1/models/gzip", any(async || ([("content-encoding", "gzip")], GZIPPED)))
        .route("/v1/models/204", any(async || StatusCode::NO_CONTENT))
        .route("/v1/models/304", any(async || (StatusCode::NOT_MODIFIED, [("etag", "\"1\"")])))
        .route("/v1/models/pretender", any(async || (PRETENDED, "the upstream's own")))
        // With what it is asked with.
        .route("/_fault/522", any(async |body: Bytes| (StatusCode::from_u16(522).unwrap(), body)))
        .route(
            "/v1/models/encoding",
            any(async |headers: HeaderMap| format!("{:?}", headers.get("accept-encoding"))),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    address
}

/// Answers any bytes, a TLS handshake too, with plain text.
pub async fn start_without_tls() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await;
        }
    });
    address
}

/// Answers each request with the bytes of its body, and leaves the connection open.
pub async fn start_raw() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                while connection.readable().await.is_ok() {
                    let request = raw::read_reply(&mut connection).await;
                    if request.body.is_empty() || connection.write_all(&request.body).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Where nobody listens.
pub async fn nobody() -> SocketAddr {
    // Bound and dropped: the port is not given out again soon.
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
