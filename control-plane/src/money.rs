//! Amounts of money: whole nano-dollars, written as decimal US dollars.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

const NANOS_PER_DOLLAR: u64 = 1_000_000_000;

/// A billionth of a dollar each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NanoDollars(pub i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be dollars as a decimal number with at most 9 digits after the point, such as \"0.15\"")]
pub struct NotDollars;

/// All digits, without trailing zeros: `0`, `0.15`, `12.000000001`.
impl fmt::Display for NanoDollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, rest) =
            (self.0.unsigned_abs() / NANOS_PER_DOLLAR, self.0.unsigned_abs() % NANOS_PER_DOLLAR);
        if rest == 0 {
            return write!(f, "{sign}{whole}");
        }
        write!(f, "{sign}{whole}.{}", format!("{rest:09}").trim_end_matches('0'))
    }
}

/// Neither negative nor with an exponent.
impl FromStr for NanoDollars {
    type Err = NotDollars;

    fn from_str(text: &str) -> Result<Self, NotDollars> {
        let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(rest) || rest.len() > 9 {
            return Err(NotDollars);
        }
        let digits = format!("{whole}{rest:0<9}");
        digits.parse().map(Self).map_err(|_| NotDollars)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_and_read_exactly() {
        for (nanos, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (150_000_000, "0.15"),
            (12_000_000_000, "12"),
            (9_223_372_036_854_775_807, "9223372036.854775807"),
        ] {
            assert_eq!(NanoDollars(nanos).to_string(), text);
            assert_eq!(text.parse(), Ok(NanoDollars(nanos)));
        }
        assert_eq!(NanoDollars(-1_500_000_000).to_string(), "-1.5");
        assert_eq!("2.50".parse(), Ok(NanoDollars(2_500_000_000)));
        for bad in ["", ".", ".5", "1.", "-1", "1e-7", "1.0000000001", "9223372036.854775808", "$1", " 1"] {
            assert_eq!(bad.parse::<NanoDollars>(), Err(NotDollars), "{bad}");
        }
    }
}
