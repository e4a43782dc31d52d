//! `/metrics`: what it tells, and to whom.

use super::World;
use crate::edge::{Batch, Isolate, lines};
use crate::scrape::Scrape;
use crate::world::TOKEN;
use axum::http::{StatusCode, header};
use control_plane::clock;
use std::time::Duration;

#[tokio::test]
async fn requests_are_told_by_pattern_and_never_by_path() {
    let world = World::start().await;
    let project = world.project("a").await;
    world.get(&format!("/manage/projects/{project}")).await.ok(StatusCode::OK);
    world.get(&format!("/manage/projects/{}", uuid::Uuid::nil())).await.ok(StatusCode::NOT_FOUND);
    world.get("/nowhere/sk-lk-secret?key=hush").await.ok(StatusCode::NOT_FOUND);
    let scrape = Scrape::of(&world).await;
    let one = |route: &str, status: &str| {
        let labels = [("method", "GET"), ("route", route), ("status", status)];
        scrape.value("latchkey_http_request_duration_seconds_count", &labels)
    };
    assert_eq!(one("/manage/projects/{id}", "2xx"), Some(1.0));
    assert_eq!(one("/manage/projects/{id}", "4xx"), Some(1.0));
    assert_eq!(one("unknown", "4xx"), Some(1.0));
    // The scrape itself.
    assert_eq!(scrape.value("latchkey_http_requests_in_flight", &[]), Some(1.0));
    for secret in [project.as_str(), "nowhere", "hush", TOKEN] {
        assert!(!scrape.text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_counted() {
    let world = World::start().await;
    let request = crate::world::request(axum::http::Method::GET, "/manage/projects", None);
    let mut leaving = tower::ServiceExt::oneshot(world.router.clone(), request);
    assert!(futures_util::poll!(std::pin::Pin::new(&mut leaving)).is_pending());
    drop(leaving);
    let labels = [("route", "/manage/projects"), ("status", "aborted")];
    let scrape = Scrape::of(&world).await;
    assert_eq!(scrape.value("latchkey_http_request_duration_seconds_count", &labels), Some(1.0));
    assert_eq!(scrape.value("latchkey_http_requests_in_flight", &[]), Some(1.0));
}

#[tokio::test]
async fn events_are_followed_from_the_edge_to_the_database() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    let first = isolate.event();
    isolate.event(); // Never sent: a gap.
    let body = [lines(&[first.clone(), isolate.event()]), b"no event\n".to_vec()].concat();
    world.batch(&Batch::new(body.clone())).await.ok(StatusCode::OK);
    world.batch(&Batch { key: 6, ..Batch::new(body.clone()) }).await.ok(StatusCode::UNAUTHORIZED);
    let waiting = Scrape::of(&world).await;
    let consumer = ("consumer", "database");
    assert_eq!(waiting.value("latchkey_event_log_risks", &[]), Some(0.0));
    assert_eq!(waiting.value("latchkey_consumer_lag_batches", &[consumer]), Some(1.0));
    let age = waiting.value("latchkey_consumer_lag_seconds", &[consumer]).unwrap();
    assert!((0.0..60.0).contains(&age), "{age}");
    let batches = |outcome| waiting.value("latchkey_ingest_batches_total", &[("outcome", outcome)]);
    assert_eq!(
        (batches("accepted"), batches("refused"), batches("failed")),
        (Some(1.0), Some(1.0), Some(0.0))
    );
    let lines_of = |result| waiting.value("latchkey_ingest_lines_total", &[("result", result)]);
    assert_eq!((lines_of("accepted"), lines_of("set_aside")), (Some(2.0), Some(1.0)));
    #[expect(clippy::cast_precision_loss, reason = "a few hundred bytes")]
    let bytes = body.len() as f64;
    assert_eq!(waiting.value("latchkey_ingest_received_bytes_total", &[]), Some(bytes));

    world.count().await;
    world.events(&[first]).await;
    // Read anew only after a second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let counted = Scrape::of(&world).await;
    let events = |result| counted.value("latchkey_consumer_events_total", &[consumer, ("result", result)]);
    assert_eq!(
        (events("counted"), events("duplicate"), events("set_aside")),
        (Some(2.0), Some(1.0), Some(1.0))
    );
    assert_eq!(counted.value("latchkey_consumer_pass_duration_seconds_count", &[consumer]), Some(2.0));
    assert_eq!(counted.value("latchkey_consumer_lag_batches", &[consumer]), Some(0.0));
    assert_eq!(counted.value("latchkey_consumer_lag_seconds", &[consumer]), Some(0.0));
    assert_eq!(counted.value("latchkey_event_gaps", &[("kind", "missing")]), Some(1.0));
    assert_eq!(counted.value("latchkey_event_gaps", &[("kind", "lost_in_flight")]), Some(0.0));
}

#[tokio::test]
async fn a_batch_that_comes_again_to_a_consumer_is_a_redelivery() {
    let world = World::start().await;
    world.batch(&Batch::new(lines(&[Isolate::new().event()]))).await.ok(StatusCode::OK);
    // Taken a minute ago by one that died.
    let taken = world.log.read("database", 8, clock::now() - 60_000).await.unwrap();
    assert_eq!(taken.len(), 1);
    world.count().await;
    let scrape = Scrape::of(&world).await;
    assert_eq!(scrape.value("latchkey_consumer_redeliveries_total", &[("consumer", "database")]), Some(1.0));
}

#[tokio::test]
async fn the_publisher_and_the_pool_are_told() {
    let world = World::start().await;
    world.project("a").await;
    world.post("/manage/snapshot/publish", serde_json::json!({})).await.ok(StatusCode::OK);
    let status = world.get("/manage/snapshot").await.ok(StatusCode::OK);
    let scrape = Scrape::of(&world).await;
    assert_eq!(scrape.value("latchkey_publisher_leader", &[]), Some(1.0));
    assert_eq!(scrape.value("latchkey_publisher_lag_seconds", &[]), Some(0.0));
    assert_eq!(scrape.value("latchkey_publisher_pending_changes", &[]), Some(0.0));
    assert_eq!(scrape.value("latchkey_snapshot_version", &[]), status["published_version"].as_f64());
    assert_eq!(scrape.value("latchkey_snapshot_size_bytes", &[]), status["size_bytes"].as_f64());
    let published = scrape.value("latchkey_publisher_publications_total", &[("outcome", "published")]);
    assert!(published.unwrap() >= 1.0);
    assert!(scrape.value("latchkey_snapshot_published_seconds", &[]).unwrap() > 1.7e9);
    assert!(scrape.value("latchkey_database_connections_max", &[]).unwrap() >= 8.0);
    let samples = ["in_use", "idle"].map(|state| [("state", state)]);
    let open = samples.map(|state| scrape.value("latchkey_database_connections", &state).unwrap());
    assert!(open.iter().sum::<f64>() >= 1.0);
    for access in ["read", "write"] {
        let waits = scrape.value("latchkey_database_wait_seconds_count", &[("access", access)]);
        assert!(waits.unwrap() > 0.0, "{access}");
    }
}

#[tokio::test]
async fn a_publication_that_fails_is_counted() {
    let world = World::without_kv().await;
    world.project("a").await;
    for _ in 0..100 {
        let scrape = Scrape::of(&world).await;
        if scrape.value("latchkey_publisher_publications_total", &[("outcome", "failed")]) > Some(0.0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no failure was counted");
}

#[tokio::test]
async fn what_cannot_be_read_is_left_out_and_the_rest_is_told() {
    let world = World::start().await;
    world.get("/manage/projects").await.ok(StatusCode::OK);
    world.store.close().await;
    let scrape = Scrape::of(&world).await;
    for part in ["log", "gaps", "publisher"] {
        assert_eq!(scrape.value("latchkey_scrape_errors_total", &[("part", part)]), Some(1.0), "{part}");
    }
    for missing in ["latchkey_consumer_lag", "latchkey_event_gaps", "latchkey_publisher_lag"] {
        assert!(!scrape.text.contains(missing), "{missing}");
    }
    let labels = [("route", "/manage/projects"), ("status", "2xx")];
    assert_eq!(scrape.value("latchkey_http_request_duration_seconds_count", &labels), Some(1.0));
}

#[tokio::test]
async fn frequent_scrapes_read_the_database_once() {
    let world = World::start().await;
    world.store.close().await;
    let scrapes = futures_util::future::join_all((0..20).map(|_| Scrape::of(&world))).await;
    for scrape in scrapes {
        assert_eq!(scrape.value("latchkey_scrape_errors_total", &[("part", "log")]), Some(1.0));
    }
}

#[tokio::test]
async fn with_a_token_only_who_has_it_reads() {
    let metrics_token = "fedcba9876543210fedcba98765432ff";
    let world = World::with_metrics_token(metrics_token).await;
    let call = |token: Option<&str>| {
        let mut request = crate::world::request(axum::http::Method::GET, "/metrics", None);
        request.headers_mut().remove(header::AUTHORIZATION);
        if let Some(token) = token {
            request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        }
        request
    };
    world.send(call(None)).await.error(401, "unauthorized");
    // It opens nothing else, and nothing else opens this.
    world.send(call(Some(TOKEN))).await.error(401, "unauthorized");
    let mut manage = call(Some(metrics_token));
    *manage.uri_mut() = "/manage/projects".parse().unwrap();
    world.send(manage).await.error(401, "unauthorized");
    let scrape = Scrape::with(&world, call(Some(metrics_token))).await;
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(scrape.value("latchkey_build_info", &version), Some(1.0));
    assert!(scrape.value("latchkey_process_start_time_seconds", &[]).unwrap() > 1.7e9);
}
