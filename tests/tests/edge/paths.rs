//! Request targets that two parties could read differently, over a raw socket,
//! where nothing tidies them up on the way. Answers by our worker carry
//! `x-latchkey-error`; those that workerd's own HTTP layer gives do not. What
//! matters is the same for both: the upstream sees no path outside its allow-list.

use latchkey_tests::edge::call::{self, client};
use latchkey_tests::edge::raw::{self, RawReply};
use latchkey_tests::edge::upstream::{TRACE, trace};
use latchkey_tests::edge::{SharedStack, shared};
use serde_json::Value;
use shared::provider::Api;

/// Sends a request line by hand; `more` is header lines, and what follows the head.
async fn send(edge: &SharedStack, line: &str, more: &str) -> (RawReply, Vec<Value>) {
    let trace = trace();
    let token = &edge.tokens.valid;
    let head = format!("{line} HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {token}\r\n{TRACE}: {trace}\r\n");
    let more = if more.is_empty() { "\r\n" } else { more };
    let reply = raw::exchange(edge.workerd.address(), format!("{head}{more}").as_bytes()).await;
    let seen = edge.upstream.seen(&trace).await;
    for entry in &seen {
        assert_on_the_allow_list(entry["path"].as_str().unwrap());
    }
    (reply, seen)
}

/// As the upstream reads it: only below `/v1/models/`, and the chat endpoint.
fn assert_on_the_allow_list(target: &str) {
    let path = target.split('?').next().unwrap();
    assert!(path == "/v1/chat/completions" || path.starts_with("/v1/models/"), "{target}");
    let dots = ["..", ".", "%2e%2e", "%2e"];
    assert!(path.split('/').all(|segment| !dots.contains(&segment.to_lowercase().as_str())), "{target}");
}

#[tokio::test]
async fn our_worker_refuses_paths_that_could_be_read_in_two_ways() {
    let edge = shared();
    for path in [
        "/openai/v1/../v1/chat/completions",
        "/openai/v1/models/../files",
        "/openai/v1/models/..",
        "/openai/v1/models/.",
        "/openai/./v1/models/x",
        "/nobody/../openai/v1/models/x",
        "/openai//v1/models/x",
        "//openai/v1/models/x",
        "//evil.example/v1/models/x",
        "/openai/v1/models/x//",
        "/openai/v1/models/%2e%2e/files",
        "/openai/v1/models/.%2E/files",
        "/openai/v1/models%2f..%2ffiles",
        "/openai/v1/models/..%2Ffiles",
        "/openai/v1/models/..%5cfiles",
        "/openai/v1/models/..\\files",
        "/\\evil.example/v1/models/x",
        "/openai/v1/models/..;a=b/files",
        "/openai/v1/models/x%00y",
        "/openai/v1/models/x%0d%0ay",
        "/openai/v1/models/.%09./files",
        "/openai/v1/models/\u{e9}",
        "/openai/v1/models/\u{ff0e}\u{ff0e}/files",
        // A whole URL in place of the path: it is its path that counts.
        "http://e/openai/v1/models/../files",
        "http://e//openai/v1/models/x",
    ] {
        let (reply, seen) = send(&edge, &format!("GET {path}"), "").await;
        reply.assert_refused(400, "invalid_path", Api::OpenAi);
        assert!(seen.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn workerd_itself_refuses_what_is_not_a_request_target() {
    let edge = shared();
    for target in [
        "/openai/v1/models/x\0y",
        "/openai/v1/models/x\ty",
        "/openai/v1/models/.\t./files",
        "/openai/v1/models/x y",
        "/openai/v1/models/x?a=b c",
        "/openai/v1/models/x?a=\"<>",
        "openai/v1/models/x",
        "?x",
        "",
        "file:///openai/v1/models/x",
    ] {
        let (reply, seen) = send(&edge, &format!("GET {target}"), "").await;
        assert_eq!((reply.status, reply.code()), (400, None), "{target:?}: {reply:?}");
        assert!(seen.is_empty(), "{target}");
    }
    let (reply, seen) = send(&edge, &format!("GET /openai/v1/models/{}", "x".repeat(64 * 1024)), "").await;
    assert_eq!((reply.status, reply.code(), seen.len()), (414, None, 0));
    let (reply, seen) = send(&edge, "CONNECT e:80", "").await;
    assert_eq!((reply.status, reply.code(), seen.len()), (500, None, 0));
}

#[tokio::test]
async fn a_query_or_fragment_that_looks_like_a_path_is_none() {
    let edge = shared();
    for (path, upstream_path) in [
        ("/openai/v1/models/x?/../../v1/files", "/v1/models/x?/../../v1/files"),
        ("/openai/v1/models/x?a=/../..//%2e%2e%2f", "/v1/models/x?a=/../..//%2e%2e%2f"),
        // workerd drops a fragment before our worker sees it.
        ("/openai/v1/models/x#/../../files", "/v1/models/x"),
    ] {
        let (reply, seen) = send(&edge, &format!("GET {path}"), "").await;
        assert_eq!((reply.status, reply.code()), (200, None), "{path}");
        assert_eq!(seen[0]["path"], upstream_path);
    }
    for path in ["/openai/v1/files?/v1/models/x", "/openai/v1/files#/v1/models/x", "/openai?/v1/models/x"] {
        let (reply, _) = send(&edge, &format!("GET {path}"), "").await;
        reply.assert_refused(403, "endpoint_not_allowed", Api::OpenAi);
    }
}

#[tokio::test]
async fn harmless_oddities_reach_the_upstream_as_they_are() {
    let edge = shared();
    for (path, upstream_path) in [
        ("/openai/v1/models/a..b", "/v1/models/a..b"),
        ("/openai/v1/models/...", "/v1/models/..."),
        ("/openai/v1/models/org%3Am", "/v1/models/org%3Am"),
        // Encoded twice: decoded once, it is still no dot segment.
        ("/openai/v1/models/%252e%252e/files", "/v1/models/%252e%252e/files"),
        ("/openai/v1/models/%zz", "/v1/models/%zz"),
        // What URLs may not hold is encoded by workerd's own URL parser.
        ("/openai/v1/models/\"x\"", "/v1/models/%22x%22"),
    ] {
        let (reply, seen) = send(&edge, &format!("GET {path}"), "").await;
        assert_eq!(reply.code(), None, "{path}");
        assert_eq!(seen[0]["path"], upstream_path);
    }
}

#[tokio::test]
async fn a_whole_url_as_target_is_judged_by_its_path() {
    let edge = shared();
    for target in ["http://evil.example/openai/v1/models/x", "http://a:b@e/openai/v1/models/x"] {
        let (reply, seen) = send(&edge, &format!("GET {target}"), "").await;
        assert_eq!((reply.status, seen[0]["path"].as_str()), (200, Some("/v1/models/x")), "{target}");
    }
    let (reply, _) = send(&edge, "GET http://evil.example/openai/v1/files", "").await;
    reply.assert_refused(403, "endpoint_not_allowed", Api::OpenAi);
    for target in ["GET http://e", "OPTIONS *"] {
        let (reply, _) = send(&edge, target, "").await;
        reply.assert_refused(404, "unknown_provider", Api::OpenAi);
    }
}

/// workerd puts the header before the path without looking at it.
#[tokio::test]
async fn a_host_header_cannot_smuggle_a_path() {
    let edge = shared();
    for host in [
        "e/../x",
        "e/openai/v1/files?",
        "e/openai/v1/files#",
        "e/openai/v1/models/../files?",
        "e\\..\\x",
        "e@f",
    ] {
        let request = format!(
            "GET /openai/v1/models/x HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n{TRACE}: {}\r\n\r\n",
            edge.tokens.valid, "trace-host"
        );
        let reply = raw::exchange(edge.workerd.address(), request.as_bytes()).await;
        assert!(reply.status < 500, "{host}: {reply:?}");
    }
    for entry in edge.upstream.seen("trace-host").await {
        assert_on_the_allow_list(entry["path"].as_str().unwrap());
    }
}

#[tokio::test]
async fn workerd_itself_refuses_methods_it_does_not_know() {
    let edge = shared();
    for method in ["get", "Get", "post", "BREW"] {
        let (reply, seen) = send(&edge, &format!("{method} /openai/v1/models/x"), "").await;
        assert_eq!((reply.status, reply.code(), seen.len()), (501, None, 0), "{method}");
    }
}

#[tokio::test]
async fn our_worker_refuses_methods_that_no_rule_names() {
    let edge = shared();
    for method in ["OPTIONS", "TRACE", "PATCH", "PUT", "DELETE", "PROPFIND"] {
        let (reply, seen) = send(&edge, &format!("{method} /openai/v1/models/x"), "").await;
        assert_eq!((reply.status, reply.code()), (405, Some("method_not_allowed")), "{method}");
        assert_eq!(reply.header("allow"), Some("get"));
        assert!(seen.is_empty());
    }
    let head = client().head(edge.workerd.url("/openai/v1/models/x")).bearer_auth(&edge.tokens.valid);
    let reply = call::send(head).await;
    assert_eq!((reply.status, reply.code(), reply.body.len()), (405, Some("method_not_allowed"), 0));
    let (_, seen) = send(&edge, "GET /openai/v1/models/x", "X-HTTP-Method-Override: DELETE\r\n\r\n").await;
    assert_eq!(
        (seen[0]["method"].as_str(), &seen[0]["headers"]["x-http-method-override"]),
        (Some("GET"), &Value::Null)
    );
}

#[tokio::test]
async fn large_and_many_headers_are_forwarded_and_the_upstream_may_refuse_them() {
    let edge = shared();
    let large = format!("X-Large: {}\r\n\r\n", "x".repeat(64 * 1024));
    let (reply, seen) = send(&edge, "GET /openai/v1/models/x", &large).await;
    assert_eq!(reply.status, 200);
    assert_eq!(seen[0]["headers"]["x-large"][0].as_str().map(str::len), Some(64 * 1024));
    let many = "X-Many: 1\r\n".repeat(2_000);
    let (reply, _) = send(&edge, "GET /openai/v1/models/x", &format!("{many}\r\n")).await;
    // The example upstream's own: it takes a hundred.
    assert_eq!((reply.status, reply.code()), (431, None));
    assert!(reply.header("x-latchkey-request-id").is_some());
}

#[tokio::test]
async fn workerd_itself_refuses_heads_that_could_be_read_in_two_ways() {
    let edge = shared();
    for more in [
        "X Bad: 1\r\n\r\n",
        "X-Bad : 1\r\n\r\n",
        "X-Fold: a\r\n b\r\n\r\n",
        "X-Nul: a\0b\r\n\r\n",
        "X-Cr: a\rX-Other: b\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
        "Content-Length: -1\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n",
    ] {
        let (reply, seen) = send(&edge, "POST /openai/v1/chat/completions", more).await;
        assert_eq!((reply.status, reply.code(), seen.len()), (400, None, 0), "{more:?}: {reply:?}");
    }
}

/// RFC 9112, 6.3: the encoding counts, and the length goes no further.
#[tokio::test]
async fn of_a_length_and_an_encoding_only_the_encoding_is_believed() {
    let edge = shared();
    let more = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let (_, seen) = send(&edge, "POST /openai/v1/chat/completions", more).await;
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0]["body_bytes"].as_u64(), &seen[0]["headers"]["content-length"]),
        (Some(5), &Value::Null)
    );
}
