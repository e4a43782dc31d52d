//! Traces, from the real process to a collector.

use crate::binary::Service;
use crate::collector::{Collector, Mode, Span, attribute};
use crate::edge::Isolate;
use crate::world::TOKEN;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tempfile::TempDir;

const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");
const WARNING: &str = "traces cannot be exported";

fn start(folder: &TempDir, collector: &Collector, settings: &[(&str, &str)]) -> Service {
    let url = collector.url();
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str());
    Service::start(folder, &[&[endpoint], settings].concat())
}

fn get(service: &Service, path: &str, headers: &str) -> String {
    service.call(&format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n{headers}\r\n"
    ))
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}

#[test]
fn a_request_is_a_span_of_its_callers_trace() {
    let (collector, folder) = (Collector::start(Mode::Answers(200)), TempDir::new().unwrap());
    let service = start(&folder, &collector, &[SOON]);
    for path in ["/livez", "/readyz", "/metrics"] {
        get(&service, path, "");
    }
    let caller = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    get(&service, "/manage/projects?limit=7", caller);
    let span = collector.span("request", |span| span.name == "GET /manage/projects");
    assert_eq!(span.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    assert_eq!(span.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(span.kind(), SpanKind::Server);
    assert!(span.end_time_unix_nano > span.start_time_unix_nano && !is_error(&span));
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/manage/projects"),
        ("url.path", "/manage/projects"),
        ("url.scheme", "http"),
        ("http.response.status_code", "number 200"),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{span:?}");
    }
    let transaction = collector.span("transaction of it", |child| child.parent_span_id == span.span_id);
    assert_eq!((transaction.name.as_str(), transaction.kind()), ("read transaction", SpanKind::Client));
    assert_eq!(attribute(&transaction, "db.system.name").as_deref(), Some("sqlite"));

    get(&service, "/manage/projects/x", "");
    let span = collector.span("template", |span| span.name == "GET /manage/projects/{id}");
    assert_eq!(attribute(&span, "url.path").as_deref(), Some("/manage/projects/x"));
    assert_eq!(attribute(&span, "http.response.status_code").as_deref(), Some("number 404"));
    assert!(!is_error(&span), "{span:?}");
    let asked = |span: &Span| attribute(span, "url.path");
    let unwanted = |path: &String| ["/livez", "/readyz", "/metrics"].contains(&path.as_str());
    assert!(!collector.spans().iter().filter_map(asked).any(|path| unwanted(&path)));

    let call = &collector.calls()[0];
    assert!(call.head.starts_with("POST /v1/traces ") && call.head.contains("application/x-protobuf"));
    assert_eq!(call.resource("service.name").as_deref(), Some("latchkey"));
    assert_eq!(call.resource("service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_caller_that_does_not_sample_is_followed() {
    let (collector, folder) = (Collector::start(Mode::Answers(200)), TempDir::new().unwrap());
    let service = start(&folder, &collector, &[SOON, ("OTEL_SERVICE_NAME", "mine")]);
    let caller = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n";
    get(&service, "/manage/providers", caller);
    get(&service, "/manage/projects", "");
    collector.span("request", |span| span.name == "GET /manage/projects");
    assert!(service.end().contains("stopped"));
    assert!(collector.spans().iter().all(|span| span.name != "GET /manage/providers"));
    assert_eq!(collector.calls()[0].resource("service.name").as_deref(), Some("mine"));
}

#[test]
fn events_are_followed_to_the_log_and_to_their_sums() {
    let (collector, folder) = (Collector::start(Mode::Answers(200)), TempDir::new().unwrap());
    let service = start(&folder, &collector, &[SOON]);
    service.take(&mut Isolate::new());
    let append = collector.span("append", |span| span.name == "append batch");
    assert_eq!(attribute(&append, "latchkey.events").as_deref(), Some("number 2"));
    let request = collector.span("request", |span| span.name == "POST /edge/events");
    assert_eq!(append.parent_span_id, request.span_id);
    let count = collector.span("count", |span| span.name == "count events");
    for (key, value) in [("batches", "number 1"), ("events", "number 2"), ("duplicates", "number 0")] {
        assert_eq!(attribute(&count, &format!("latchkey.{key}")).as_deref(), Some(value), "{count:?}");
    }
    collector
        .span("transaction", |span| span.parent_span_id == count.span_id && span.name == "write transaction");
    // Nothing listens where KV should be.
    let publish = collector.span("publication", |span| span.name == "publish snapshot");
    assert!(is_error(&publish) && publish.status.unwrap().message.contains("KV"));
}

#[test]
fn no_secret_is_in_spans_or_in_the_log() {
    let (collector, folder) = (Collector::start(Mode::Answers(200)), TempDir::new().unwrap());
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hush,x-team=hush");
    let service = start(&folder, &collector, &[SOON, headers, ("LOG_LEVEL", "trace")]);
    get(&service, "/manage/tokens/sk-lk-quiet?api_key=loud", "");
    get(&service, "/quiet?loud", "x-secret: silent\r\n");
    collector.span("request", |span| span.name == "GET /manage/tokens/{id}");
    collector.span("request", |span| span.name == "GET");
    let log = service.end();
    assert!(log.contains("GET") && !log.contains("hush") && !log.contains(TOKEN), "{log}");
    assert!(!log.contains("publish snapshot"), "{log}");
    for call in collector.calls() {
        assert!(call.head.contains("authorization: Bearer hush") && call.head.contains("x-team: hush"));
        let body = String::from_utf8_lossy(&call.body);
        for secret in ["hush", "sk-lk", "api_key", "loud", "silent", TOKEN] {
            assert!(!body.contains(secret), "{secret}: {body}");
        }
    }
}

#[test]
fn the_last_spans_are_sent_at_the_end() {
    let (collector, folder) = (Collector::start(Mode::Answers(200)), TempDir::new().unwrap());
    let service = start(&folder, &collector, &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]);
    get(&service, "/manage/projects", "");
    service.end();
    assert!(collector.spans().iter().any(|span| span.name == "GET /manage/projects"));
}

#[test]
fn nothing_is_sent_that_is_not_wanted() {
    for unwanted in [("OTEL_TRACES_EXPORTER", "none"), ("OTEL_SDK_DISABLED", "true")] {
        let (collector, folder) = (Collector::start(Mode::Answers(200)), TempDir::new().unwrap());
        let service = start(&folder, &collector, &[unwanted, SOON]);
        get(&service, "/manage/projects", "");
        service.end();
        assert_eq!(collector.calls().len(), 0);
    }
}

/// Several batches: of each there are four attempts, or one where another would end the same.
#[test]
fn a_collector_that_refuses_is_told_of_once_and_takes_spans_when_it_is_back() {
    for (status, attempts) in [(429, 4), (503, 4), (401, 1)] {
        let (collector, folder) = (Collector::start(Mode::Answers(status)), TempDir::new().unwrap());
        let service = start(&folder, &collector, &[SOON]);
        for batches in 1..4 {
            assert!(get(&service, "/manage/projects", "").starts_with("HTTP/1.1 200"));
            collector.until_called(batches * attempts);
        }
        collector.set(Mode::Answers(200));
        // What was sent meanwhile may be lost.
        let is_back = (0..600).any(|_| {
            get(&service, "/manage/providers", "");
            collector.spans().iter().any(|span| span.name == "GET /manage/providers")
        });
        let log = service.end();
        assert!(is_back && log.contains("traces are exported again"), "{log}");
        assert_eq!(log.matches(WARNING).count(), 1, "{log}");
        assert!(log.contains(&status.to_string()), "{log}");
    }
}

/// The collector would be waited for ten minutes; the queue is full after eight spans.
#[test]
fn a_collector_that_hangs_holds_nothing_up() {
    let (collector, folder) = (Collector::start(Mode::Hangs), TempDir::new().unwrap());
    let patient = ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000");
    let service = start(&folder, &collector, &[SOON, patient, ("OTEL_BSP_MAX_QUEUE_SIZE", "8")]);
    get(&service, "/manage/projects", "");
    collector.until_called(1);
    for _ in 0..50 {
        assert!(get(&service, "/manage/projects", "").starts_with("HTTP/1.1 200"));
    }
    let log = service.end();
    assert!(log.contains("the last spans could not be exported"), "{log}");
}

#[test]
fn a_collector_that_is_away_is_told_of_once() {
    let folder = TempDir::new().unwrap();
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let service = Service::start(&folder, &[endpoint, SOON]);
    for _ in 0..50 {
        assert!(get(&service, "/manage/projects", "").starts_with("HTTP/1.1 200"));
    }
    let log = service.end();
    assert_eq!(log.matches(WARNING).count(), 1, "{log}");
    assert!(log.contains("Connection refused"), "{log}");
}
