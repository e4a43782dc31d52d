//! The headers that tell a client how much of its rate limit is left.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::Api;
use crate::script::Limits;

/// Tokens to a request, in what is said of both.
const TOKENS: u64 = 1_000;

pub(super) fn insert(headers: &mut HeaderMap, api: Api, limits: Limits, now: SystemTime) {
    let Limits { limit, remaining, reset } = limits;
    let counts = |units: u64| [limit.saturating_mul(units), remaining.saturating_mul(units)];
    match api {
        Api::OpenAi => {
            for (kind, units) in [("requests", 1), ("tokens", TOKENS)] {
                let [limit, remaining] = counts(units).map(|count| count.to_string());
                let values = [("limit", limit), ("remaining", remaining), ("reset", lasting(reset))];
                for (field, value) in values {
                    set(headers, &format!("x-ratelimit-{field}-{kind}"), &value);
                }
            }
        }
        Api::Anthropic => {
            let kinds =
                [("requests", 1), ("tokens", TOKENS), ("input-tokens", TOKENS), ("output-tokens", TOKENS)];
            for (kind, units) in kinds {
                let [limit, remaining] = counts(units).map(|count| count.to_string());
                let values = [("limit", limit), ("remaining", remaining), ("reset", moment(now + reset))];
                for (field, value) in values {
                    set(headers, &format!("anthropic-ratelimit-{kind}-{field}"), &value);
                }
            }
        }
        // It says nothing of its limits.
        Api::Gemini => {}
    }
}

fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

/// As Go writes a duration: `20ms`, `1.5s`, `6m0s`, `1h0m0s`.
fn lasting(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    if seconds == 0 && millis > 0 {
        return format!("{millis}ms");
    }
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}") };
    let rest = format!("{}{}s", seconds % 60, fraction.trim_end_matches('0'));
    match (hours, minutes) {
        (0, 0) => rest,
        (0, minutes) => format!("{minutes}m{rest}"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}"),
    }
}

/// RFC 3339, in whole seconds, never before the time itself.
fn moment(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let part = i64::from(time.nanosecond() > 0);
    let whole = OffsetDateTime::from_unix_timestamp(time.unix_timestamp() + part).unwrap_or(time);
    whole.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_as_go_writes_them() {
        let cases = [
            (0, "0s"),
            (20, "20ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (360_000, "6m0s"),
            (90_250, "1m30.25s"),
            (3_600_000, "1h0m0s"),
        ];
        for (millis, text) in cases {
            assert_eq!(lasting(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn moments_are_whole_seconds() {
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(moment(at(0)), "1970-01-01T00:00:00Z");
        assert_eq!(moment(at(1_001)), "1970-01-01T00:00:02Z");
    }
}
