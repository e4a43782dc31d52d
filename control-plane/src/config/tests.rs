use super::*;
use std::collections::HashMap;

const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn environment(changes: &[(&str, &str)]) -> HashMap<String, String> {
    let mut all: HashMap<String, String> = [
        ("MANAGEMENT_TOKEN", "0123456789abcdef0123456789abcdef"),
        ("ENCRYPTION_KEY", KEY),
        ("SNAPSHOT_SIGNING_KEY", KEY),
        ("EDGE_CREDENTIAL_KEY", KEY),
        ("TOKEN_TAG_KEY", KEY),
        ("EDGE_INGEST_KEY", KEY),
        ("KV_API_BASE", "http://127.0.0.1:8787/kv"),
        ("KV_NAMESPACE_ID", "local"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    all.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    all
}

fn read_with(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let all = environment(changes);
    Config::read(&|name| all.get(name).cloned())
}

#[test]
fn defaults() {
    let config = read_with(&[]).unwrap();
    assert_eq!(config.listen_addr.to_string(), "127.0.0.1:8080");
    assert_eq!(config.database_url, "sqlite://latchkey.db?mode=rwc");
    assert_eq!(config.deployment_id, "default");
    assert!(config.metrics_tokens.is_empty());
    assert_eq!(config.publisher.heartbeat, Duration::from_mins(1));
    assert_eq!(config.publisher.settle, Duration::from_secs(90));
    assert_eq!(config.events.retention_days, 90);
    assert_eq!(config.sinks.file_dir, None);
    assert!(!config.network.allow_private_upstreams && config.network.trusted_proxies.is_empty());
    assert_eq!(config.log.format, LogFormat::Text);
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    let message = Config::read(&|_| None).unwrap_err().to_string();
    for name in [
        "MANAGEMENT_TOKEN",
        "ENCRYPTION_KEY",
        "SNAPSHOT_SIGNING_KEY",
        "EDGE_CREDENTIAL_KEY",
        "TOKEN_TAG_KEY",
        "EDGE_INGEST_KEY",
        "KV_API_BASE",
        "KV_NAMESPACE_ID",
    ] {
        assert!(message.contains(&format!("\n  {name}: ")), "{name} in {message}");
    }
}

#[test]
fn each_wrong_value_is_named_and_not_shown() {
    for (name, value) in [
        ("LISTEN_ADDR", "somewhere"),
        ("DATABASE_URL", "postgres://user:hush@host:port/db"),
        ("DATABASE_URL", "postgres://user@host/db?sslmode=hush"),
        ("DATABASE_URL", "mysql://hush"),
        ("EVENT_LOG", "hush"),
        ("EVENT_LOG_STRICT", "hush"),
        ("REDIS_URL", "hush"),
        ("REDIS_URL", "redis://:hush@host:port"),
        ("REDIS_URL", "redis-sentinel://:hush@host"),
        ("METRICS_TOKEN", "hush"),
        ("METRICS_TOKEN", "0123456789abcdef0123456789abcdef,hush"),
        ("DEPLOYMENT_ID", "hush hush"),
        ("MANAGEMENT_TOKEN", "hush"),
        ("MANAGEMENT_TOKEN", "0123456789abcdef0123456789abcdef,hush"),
        ("ENCRYPTION_KEY", "hush"),
        ("KV_API_BASE", "http://hush.example"),
        ("SNAPSHOT_HEARTBEAT", "0"),
        ("SNAPSHOT_SETTLE", "-1"),
        ("EVENT_RETENTION_DAYS", "0"),
        ("EVENT_RETENTION_DAYS", "hush"),
        ("SINK_FILE_DIR", "/nonexistent/hush"),
        ("ALLOW_PRIVATE_UPSTREAMS", "hush"),
        ("TRUSTED_PROXIES", "hush"),
        ("LOG_FORMAT", "hush"),
        ("LOG_LEVEL", "hush"),
        ("LOG_LEVEL", "info,sqlx=hush"),
        ("OTEL_SDK_DISABLED", "hush"),
        ("OTEL_TRACES_EXPORTER", "hush"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "hush:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318?hush"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://hush:hush@127.0.0.1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hush"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a b=hush"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=hush%0a"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "hush"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
        ("OTEL_TRACES_SAMPLER", "hush"),
    ] {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        let message = read_with(&[endpoint, (name, value)]).unwrap_err().to_string();
        assert!(message.contains(&format!("\n  {name}: ")) && !message.contains("hush"), "{name}: {message}");
    }
}

#[test]
fn cloudflare_itself_needs_a_token() {
    let account = [("KV_API_BASE", ""), ("CLOUDFLARE_ACCOUNT_ID", "abc")];
    let message = read_with(&account).unwrap_err().to_string();
    assert!(message.contains("CLOUDFLARE_API_TOKEN"), "{message}");
    let config = read_with(&[account[0], account[1], ("CLOUDFLARE_API_TOKEN", "t")]).unwrap();
    assert_eq!(config.kv.api_base.as_str(), "https://api.cloudflare.com/client/v4/accounts/abc");
}

#[test]
fn the_event_log() {
    let config = read_with(&[]).unwrap();
    assert_eq!((config.events.log, config.events.is_strict), (EventLogKind::Database, false));
    let message = read_with(&[("EVENT_LOG", "redis")]).unwrap_err().to_string();
    assert!(message.contains("\n  REDIS_URL: is required"), "{message}");
    let url = ("REDIS_URL", "rediss://:hush@host");
    let config = read_with(&[("EVENT_LOG", "redis"), url, ("EVENT_LOG_STRICT", "true")]).unwrap();
    assert_eq!((config.events.log, config.events.is_strict), (EventLogKind::Redis, true));
    assert!(!format!("{config:?}").contains("hush"));
    // To drain what is left there.
    assert!(read_with(&[url]).unwrap().events.redis.is_some());
}

#[test]
fn lists() {
    let two = format!("{0}, {0}x", "0123456789abcdef0123456789abcdef");
    let set =
        [("MANAGEMENT_TOKEN", two.as_str()), ("METRICS_TOKEN", &two), ("TRUSTED_PROXIES", "10.0.0.0/8, ::1")];
    let config = read_with(&set).unwrap();
    assert_eq!((config.management_tokens.len(), config.metrics_tokens.len()), (2, 2));
    assert_eq!(config.network.trusted_proxies.len(), 2);
}

#[test]
fn the_folder_of_sinks_is_one_that_can_be_written_to() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap();
    let config = read_with(&[("SINK_FILE_DIR", path)]).unwrap();
    assert_eq!(config.sinks.file_dir.as_deref(), Some(folder.path()));
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    // Nobody makes files in `/proc`, the one who owns everything neither.
    for wrong in [file.to_str().unwrap(), "/proc"] {
        let message = read_with(&[("SINK_FILE_DIR", wrong)]).unwrap_err().to_string();
        assert!(message.contains("SINK_FILE_DIR: must be a folder in which files can be made"), "{message}");
    }
}

fn traces(changes: &[(&str, &str)]) -> Option<Traces> {
    read_with(changes).unwrap().traces
}

#[test]
fn traces_go_where_the_variables_of_open_telemetry_say() {
    assert!(traces(&[("OTEL_EXPORTER_OTLP_HEADERS", "hush")]).is_none());
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/some/");
    assert!(traces(&[base, ("OTEL_TRACES_EXPORTER", "none")]).is_none());
    assert!(traces(&[base, ("OTEL_SDK_DISABLED", "true")]).is_none());
    let found = traces(&[base]).unwrap();
    assert_eq!(found.endpoint.as_str(), "http://collector:4318/some/v1/traces");
    assert_eq!(found.sampling, Sampling { share: 1.0, is_parent_based: true });
    assert_eq!((found.timeout, found.service_name), (Duration::from_secs(10), None));
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector/x?y");
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hush, x-team = a=b");
    let found = traces(&[base, own, headers]).unwrap();
    assert_eq!(found.endpoint.as_str(), "https://collector/x?y");
    assert_eq!(found.headers["authorization"], "Bearer hush");
    assert_eq!(found.headers["x-team"], "a=b");
    assert!(!format!("{found:?}").contains("hush"));
}

#[test]
fn sampling_of_traces() {
    let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    let sampling = |name, share| {
        let set = [base, ("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", share)];
        read_with(&set).map(|config| config.traces.unwrap().sampling).map_err(|error| error.to_string())
    };
    assert_eq!(sampling("always_off", "9"), Ok(Sampling { share: 0.0, is_parent_based: false }));
    assert_eq!(sampling("traceidratio", "0.25"), Ok(Sampling { share: 0.25, is_parent_based: false }));
    assert_eq!(sampling("parentbased_traceidratio", ""), Ok(Sampling { share: 1.0, is_parent_based: true }));
    for share in ["-0.1", "1.1", "NaN", "x"] {
        let message = sampling("traceidratio", share).unwrap_err();
        assert!(message.contains("OTEL_TRACES_SAMPLER_ARG: must be"), "{share}: {message}");
    }
}
