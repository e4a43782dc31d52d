//! How providers write when something is over.

use shared::id::UnixMs;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// Milliseconds from `now` to what `text` says: seconds, a duration such as `1h2m` or
/// `7.66s`, or a date as of HTTP (RFC 9110, 5.6.7; not its two obsolete forms) or RFC 3339.
pub(super) fn period_ms(text: &str, now: UnixMs) -> Option<u64> {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return date_ms(text, now);
    }
    let of_seconds = thousandths(text);
    of_seconds.or_else(|| duration_ms(text)).or_else(|| date_ms(text, now))
}

pub(super) fn milliseconds(text: &str) -> Option<u64> {
    Some(thousandths(text)? / 1000)
}

/// Numbers, each with its unit, as Go writes them.
fn duration_ms(text: &str) -> Option<u64> {
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.';
    let (mut rest, mut total) = (text, 0u64);
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c| !is_of_number(c))?);
        let (unit, next) = after.split_at(after.find(is_of_number).unwrap_or(after.len()));
        let unit_ms = match unit {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            "us" | "µs" | "ns" => 0,
            _ => return None,
        };
        total = total.saturating_add(thousandths(number)?.saturating_mul(unit_ms) / 1000);
        rest = next;
    }
    Some(total)
}

/// Of a decimal number; more than fits is the most that does.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    let digits = fraction.bytes().chain([b'0'; 3]).take(3);
    let fraction = digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(whole.saturating_mul(1000).saturating_add(fraction))
}

/// What is over is now.
fn date_ms(text: &str, now: UnixMs) -> Option<u64> {
    let date = OffsetDateTime::parse(text, &Rfc3339).or_else(|_| OffsetDateTime::parse(text, &Rfc2822));
    let at = date.ok()?.unix_timestamp_nanos() / 1_000_000;
    Some(u64::try_from(at).unwrap_or(0).saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_providers_write_it() {
        for (text, ms) in [
            ("1s", 1_000),
            ("6m0s", 360_000),
            ("20ms", 20),
            ("1h2m", 3_720_000),
            ("7.66s", 7_660),
            ("2m59.56s", 179_560),
            ("1.5ms", 1),
            ("250µs", 0),
            ("1d", 86_400_000),
            ("60", 60_000),
            ("33.0105", 33_010),
            ("1970-01-01T00:00:01.5Z", 1_500),
            ("Thu, 01 Jan 1970 00:00:02 GMT", 2_000),
        ] {
            assert_eq!(period_ms(text, 0), Some(ms), "{text}");
        }
        for nonsense in ["", "s", "1x", "1m2", "1.s", ".5s", "1..2s", "1 s", "-1s", "+1s", "1s-", "٣s"] {
            assert_eq!(period_ms(nonsense, 0), None, "{nonsense}");
        }
        assert_eq!(period_ms("99999999999999999999h", 0), Some(u64::MAX / 1000));
        // A thousand times that is a little more than fits.
        assert_eq!(period_ms("18446744073709552", 0), Some(u64::MAX));
    }

    proptest! {
        #[test]
        fn is_the_sum_of_its_parts(h in 0u64..100, m in 0u64..60, s in 0u64..60, ms in 0u64..1000) {
            let total = h * 3_600_000 + m * 60_000 + s * 1000 + ms;
            prop_assert_eq!(period_ms(&format!("{h}h{m}m{s}.{ms:03}s"), 0), Some(total));
            prop_assert_eq!(period_ms(&format!("{h}h{m}m{s}s{ms}ms"), 0), Some(total));
        }
    }
}
