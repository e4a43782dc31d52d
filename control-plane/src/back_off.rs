//! How long to wait after failures.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// 0.2 s, doubled with every failure up to 10 s, of which `chance` takes away
/// up to a half, so that several processes do not keep in step.
pub fn back_off(failures: u32, retry_after: Option<Duration>, chance: u8) -> Duration {
    let doubled = FIRST * 2u32.saturating_pow(failures.saturating_sub(1).min(6));
    let full = doubled.min(LONGEST);
    let jittered = full / 2 + full / 2 * u32::from(u8::MAX - chance) / 255;
    jittered.max(retry_after.unwrap_or_default())
}

/// A random byte; without randomness there is no jitter, which does no harm.
pub fn chance() -> u8 {
    let mut byte = [0];
    getrandom::fill(&mut byte).map_or(0, |()| byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn grows_to_ten_seconds_and_heeds_retry_after() {
        assert_eq!(back_off(1, None, 0), 200 * MS);
        assert_eq!(back_off(2, None, 0), 400 * MS);
        assert_eq!(back_off(1, None, 255), 100 * MS);
        assert_eq!(back_off(u32::MAX, None, 0), 10_000 * MS);
        assert_eq!(back_off(u32::MAX, None, 255), 5_000 * MS);
        assert_eq!(back_off(1, Some(30_000 * MS), 7), 30_000 * MS);
    }
}
