//! What the headers of a provider's answer say about when to ask again, and about how
//! much is left of its limits.
//!
//! - `retry-after`: seconds or an HTTP date (RFC 9110, 10.2.3); `retry-after-ms` is what
//!   Azure adds, and what `OpenAI`'s SDKs read first.
//! - `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`: `OpenAI`
//!   (<https://platform.openai.com/docs/guides/rate-limits>) with durations such as `1s`
//!   and `6m0s`, Groq (<https://console.groq.com/docs/rate-limits>) with `2m59.56s`, others
//!   with seconds, or with more windows, such as `requests-day`.
//! - `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`
//!   (<https://docs.anthropic.com/en/api/rate-limits>), the time as in RFC 3339.

mod duration;

use duration::{milliseconds, period_ms};
use shared::id::UnixMs;

/// However long a provider asks to wait.
pub const MAX_COOL_MS: u64 = 10 * 60 * 1000;

/// Each answer says anew what is left, and most windows are a minute.
const MAX_LOW_MS: u64 = 60_000;

/// Where it is not said when a window ends.
const DEFAULT_LOW_MS: u64 = 1_000;

/// Providers have two to four.
const MAX_WINDOWS: usize = 8;

/// In milliseconds from now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    pub retry_after_ms: Option<u64>,
    /// Until all that has nothing left is filled again.
    pub spent_for_ms: Option<u64>,
    /// Little is left; 0 = enough is.
    pub low_for_ms: Option<u64>,
}

/// What is counted by itself: requests, tokens.
#[derive(Clone, Copy, Debug, Default)]
struct Window<'a> {
    name: &'a str,
    limit: Option<u64>,
    remaining: Option<u64>,
    reset_ms: Option<u64>,
}

impl Signs {
    /// `headers` are lines: a name in lower case, its value, and so on.
    pub fn read(headers: &str, now: UnixMs) -> Self {
        let mut signs = Self::default();
        let mut retry_after_ms = None;
        let mut windows = [Window::default(); MAX_WINDOWS];
        let mut lines = headers.split('\n');
        while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
            match name.as_bytes().first() {
                Some(b'r') if name == "retry-after" => signs.retry_after_ms = period_ms(value.trim(), now),
                Some(b'r') if name == "retry-after-ms" => retry_after_ms = milliseconds(value.trim()),
                Some(b'x') => {
                    let of_window = name.strip_prefix("x-ratelimit-").and_then(|rest| rest.split_once('-'));
                    if let Some((what, window)) = of_window {
                        note(&mut windows, window, what, value.trim(), now);
                    }
                }
                Some(b'a') => {
                    let of_window =
                        name.strip_prefix("anthropic-ratelimit-").and_then(|rest| rest.rsplit_once('-'));
                    if let Some((window, what)) = of_window {
                        note(&mut windows, window, what, value.trim(), now);
                    }
                }
                _ => {}
            }
        }
        let capped = |ms: u64| ms.min(MAX_COOL_MS);
        signs.retry_after_ms = retry_after_ms.or(signs.retry_after_ms).map(capped);
        signs.spent_for_ms = windows.iter().filter_map(Window::spent_for_ms).max().map(capped);
        signs.low_for_ms = windows.iter().filter_map(Window::low_for_ms).max();
        signs
    }
}

fn note<'a>(windows: &mut [Window<'a>], name: &'a str, what: &str, value: &str, now: UnixMs) {
    let known = windows.iter_mut().find(|window| window.name == name || window.name.is_empty());
    let Some(window) = known else { return };
    match what {
        "limit" => window.limit = value.parse().ok(),
        "remaining" => window.remaining = value.parse().ok(),
        "reset" => window.reset_ms = period_ms(value, now),
        _ => return,
    }
    window.name = name;
}

impl Window<'_> {
    /// None where it does not say how much is left, or is none: some write 0 of 0.
    fn left(&self) -> Option<u64> {
        self.remaining.filter(|_| self.limit != Some(0))
    }

    fn spent_for_ms(&self) -> Option<u64> {
        self.reset_ms.filter(|_| self.left() == Some(0))
    }

    fn low_for_ms(&self) -> Option<u64> {
        let left = self.left()?;
        let is_low = left < 2 || self.limit.is_some_and(|limit| left.saturating_mul(50) < limit);
        Some(if is_low { self.reset_ms.unwrap_or(DEFAULT_LOW_MS).min(MAX_LOW_MS) } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2025-10-25T12:00:00Z
    const NOW: UnixMs = 1_761_393_600_000;

    fn read(headers: &[(&str, &str)]) -> Signs {
        let lines: String = headers.iter().flat_map(|(name, value)| [*name, "\n", *value, "\n"]).collect();
        Signs::read(&lines, NOW)
    }

    #[test]
    fn retry_after() {
        let after = |value| read(&[("retry-after", value)]).retry_after_ms;
        assert_eq!(after("7"), Some(7_000));
        assert_eq!(after(" 0.5 "), Some(500));
        assert_eq!(after("0"), Some(0));
        assert_eq!(after("Sat, 25 Oct 2025 12:00:30 GMT"), Some(30_000));
        assert_eq!(after("Sat, 25 Oct 2025 11:00:30 GMT"), Some(0));
        for hostile in ["3601", "99999999999999999999999999999", "Sat, 25 Oct 2325 12:00:30 GMT"] {
            assert_eq!(after(hostile), Some(MAX_COOL_MS), "{hostile}");
        }
        for nonsense in ["", "-1", "soon", "NaN", "1e9", "1.2.3", "."] {
            assert_eq!(after(nonsense), None, "{nonsense}");
        }
        let exact = [("retry-after-ms", "1500"), ("retry-after", "2")];
        assert_eq!(read(&exact).retry_after_ms, Some(1_500));
        assert_eq!(read(&[("retry-after-ms", "x"), ("retry-after", "2")]).retry_after_ms, Some(2_000));
    }

    #[test]
    fn as_openai_and_groq_say_it() {
        let enough = [
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ];
        assert_eq!(read(&enough), Signs { low_for_ms: Some(0), ..Signs::default() });
        let mut low = enough;
        low[2].1 = "1";
        assert_eq!(read(&low), Signs { low_for_ms: Some(1_000), ..Signs::default() });
        let mut spent = enough;
        spent[3].1 = "0";
        spent[5].1 = "2m59.56s";
        assert_eq!(
            read(&spent),
            Signs { spent_for_ms: Some(179_560), low_for_ms: Some(60_000), ..Signs::default() }
        );
    }

    #[test]
    fn as_anthropic_says_it() {
        let signs = read(&[
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2025-10-25T12:01:00Z"),
            ("anthropic-ratelimit-input-tokens-limit", "50000"),
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "2025-10-25T14:00:09+02:00"),
        ]);
        let expected = Signs { spent_for_ms: Some(9_000), low_for_ms: Some(9_000), ..Signs::default() };
        assert_eq!(signs, expected);
    }

    #[test]
    fn low_is_under_two_or_under_two_percent() {
        for (limit, remaining, is_low) in [
            ("1000", "20", false),
            ("1000", "19", true),
            ("10", "2", false),
            ("10", "1", true),
            ("18446744073709551615", "18446744073709551615", false),
            ("0", "0", false),
        ] {
            let signs = read(&[
                ("x-ratelimit-limit-tokens", limit),
                ("x-ratelimit-remaining-tokens", remaining),
                ("x-ratelimit-reset-tokens", "33.01"),
            ]);
            assert_eq!(signs.low_for_ms.unwrap_or(0) == 33_010, is_low, "{remaining} of {limit}");
        }
        assert_eq!(read(&[("x-ratelimit-remaining-requests", "1")]).low_for_ms, Some(DEFAULT_LOW_MS));
    }

    #[test]
    fn more_windows_than_anyone_has_are_passed_over() {
        let names: Vec<String> = (0..20).map(|at| format!("x-ratelimit-remaining-w{at}")).collect();
        let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "9")).collect();
        assert_eq!(read(&headers).low_for_ms, Some(0));
        assert_eq!(read(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-", "0")]), Signs::default());
    }

    proptest! {
        #[test]
        fn nobody_is_waited_for_longer_than_the_longest(
            name in "retry-after(-ms)?|x-ratelimit-(limit|remaining|reset)-tokens|anthropic-ratelimit-tokens-reset",
            value in "[0-9]{1,40}(ms|s|m|h|d)?|[0-9.]{1,30}|[0-9hms.]{1,30}|\\PC{0,30}",
        ) {
            let headers = [
                (name.as_str(), value.as_str()),
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", value.as_str()),
            ];
            let signs = read(&headers);
            for ms in [signs.retry_after_ms, signs.spent_for_ms, signs.low_for_ms].into_iter().flatten() {
                prop_assert!(ms <= MAX_COOL_MS);
            }
        }
    }
}
