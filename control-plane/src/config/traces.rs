//! Where traces go: variables as OpenTelemetry's specification names them.

use super::reader::Reader;
use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;
use url::Url;

/// Of those that exist with `TRACES_` too, that one goes first.
#[derive(Debug)]
pub struct Traces {
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, as it is, or `OTEL_EXPORTER_OTLP_ENDPOINT` with `/v1/traces`
    /// appended. Neither, `OTEL_TRACES_EXPORTER=none` or `OTEL_SDK_DISABLED=true`: no traces.
    pub endpoint: Url,
    /// `OTEL_EXPORTER_OTLP_HEADERS`, default none: `name=value`, separated by commas, values percent-encoded.
    pub headers: HeaderMap,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`, milliseconds, default 10000.
    pub timeout: Duration,
    /// `OTEL_SERVICE_NAME`, default what `OTEL_RESOURCE_ATTRIBUTES` says, else `latchkey`.
    pub service_name: Option<String>,
    pub sampling: Sampling,
}

/// `OTEL_TRACES_SAMPLER`, default `parentbased_always_on`, and `OTEL_TRACES_SAMPLER_ARG`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Of traces, from 0 to 1.
    pub share: f64,
    /// A caller that has decided is followed.
    pub is_parent_based: bool,
}

/// `None` where something is wrong, `Some(None)` where no traces are wanted.
#[expect(clippy::option_option, reason = "the outer one is the reader's way to say that there was a problem")]
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Option<Traces>> {
    if reader.parsed("OTEL_SDK_DISABLED", "false", "`true` or `false`")? {
        return Some(None);
    }
    match reader.text("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Some(None),
        Some(_) => {
            reader.problem("OTEL_TRACES_EXPORTER", "must be `otlp` or `none`");
            return None;
        }
    }
    if signal(reader, "ENDPOINT").1.is_none() {
        return Some(None);
    }
    let endpoint = read_endpoint(reader);
    let headers = read_headers(reader);
    let timeout = read_timeout(reader);
    let is_encoded = only(reader, "PROTOCOL", "http/protobuf") & only(reader, "COMPRESSION", "none");
    let sampling = read_sampling(reader);
    let service_name = reader.text("OTEL_SERVICE_NAME");
    let traces = Traces {
        endpoint: endpoint?,
        headers: headers?,
        timeout: timeout?,
        service_name,
        sampling: sampling?,
    };
    is_encoded.then_some(Some(traces))
}

/// The variable for traces alone where it is set, else the one for all signals.
fn signal(reader: &Reader<'_>, name: &str) -> (String, Option<String>) {
    let own = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
    if let Some(text) = reader.text(&own) {
        return (own, Some(text));
    }
    let common = format!("OTEL_EXPORTER_OTLP_{name}");
    let text = reader.text(&common);
    (common, text)
}

fn read_endpoint(reader: &mut Reader<'_>) -> Option<Url> {
    let (name, text) = signal(reader, "ENDPOINT");
    let is_base = name == "OTEL_EXPORTER_OTLP_ENDPOINT";
    let url = Url::parse(&text?).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
            && !(is_base && url.query().is_some())
    });
    let Some(mut url) = url else {
        reader.problem(
            &name,
            "must be an address such as http://127.0.0.1:4318; credentials go into OTEL_EXPORTER_OTLP_HEADERS",
        );
        return None;
    };
    if is_base {
        let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Some(url)
}

fn read_headers(reader: &mut Reader<'_>) -> Option<HeaderMap> {
    let (name, text) = signal(reader, "HEADERS");
    let text = text.unwrap_or_default();
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let headers: Option<HeaderMap> = parts.map(header).collect();
    if headers.is_none() {
        reader.problem(&name, "must be `name=value`, separated by commas, with percent-encoded values");
    }
    headers
}

fn header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once('=')?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}

fn read_timeout(reader: &mut Reader<'_>) -> Option<Duration> {
    let (name, _) = signal(reader, "TIMEOUT");
    let timeout: u64 = reader.parsed(&name, "10000", "a number of milliseconds")?;
    if !(1..=600_000).contains(&timeout) {
        reader.problem(&name, "must be from 1 to 600000 milliseconds");
        return None;
    }
    Some(Duration::from_millis(timeout))
}

/// Of these, one choice is built in.
fn only(reader: &mut Reader<'_>, what: &str, choice: &str) -> bool {
    let (name, text) = signal(reader, what);
    let is_usable = text.is_none_or(|text| text == choice);
    if !is_usable {
        reader.problem(&name, &format!("must be `{choice}`, which is the only one there is"));
    }
    is_usable
}

fn read_sampling(reader: &mut Reader<'_>) -> Option<Sampling> {
    let text = reader.text("OTEL_TRACES_SAMPLER").unwrap_or_else(|| "parentbased_always_on".to_owned());
    let (is_parent_based, root) =
        text.strip_prefix("parentbased_").map_or((false, text.as_str()), |root| (true, root));
    let share = match root {
        "always_on" => Some(1.0),
        "always_off" => Some(0.0),
        "traceidratio" => reader
            .parsed("OTEL_TRACES_SAMPLER_ARG", "1", "a number from 0 to 1")
            .filter(|share| (0.0..=1.0).contains(share) || wrong_share(reader)),
        _ => {
            reader.problem(
                "OTEL_TRACES_SAMPLER",
                "must be always_on, always_off or traceidratio, with parentbased_ before it or not",
            );
            None
        }
    };
    Some(Sampling { share: share?, is_parent_based })
}

fn wrong_share(reader: &mut Reader<'_>) -> bool {
    reader.problem("OTEL_TRACES_SAMPLER_ARG", "must be from 0 to 1");
    false
}
