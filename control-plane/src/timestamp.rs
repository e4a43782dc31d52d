//! Times as people and programs read them: RFC 3339, UTC.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use shared::id::UnixMs;
use std::borrow::Cow;
use std::fmt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time as clients write and read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp(pub UnixMs);

impl Timestamp {
    /// A year beyond 9999 cannot be written.
    fn text(self) -> Option<String> {
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000);
        time.ok()?.format(&Rfc3339).ok()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text().ok_or(fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let text = self.text().ok_or_else(|| ser::Error::custom("a time beyond the year 9999"))?;
        to.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        let wrong = || de::Error::custom("expected a time such as 2030-01-31T12:00:00Z (RFC 3339)");
        let time = OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| wrong())?;
        // Before 1970 is as past as 1970.
        Ok(Self(u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        for (ms, text) in [(0, "1970-01-01T00:00:00Z"), (1_795_444_000_123, "2026-11-23T14:26:40.123Z")] {
            assert_eq!(serde_json::to_value(Timestamp(ms)).unwrap(), text);
            assert_eq!(serde_json::from_value::<Timestamp>(text.into()).unwrap(), Timestamp(ms));
        }
        let zoned: Timestamp = serde_json::from_str("\"1970-01-01T01:00:00+01:00\"").unwrap();
        assert_eq!(zoned, Timestamp(0));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["\"tomorrow\"", "\"2030-01-31\"", "5", "\"2030-13-01T00:00:00Z\""] {
            assert!(serde_json::from_str::<Timestamp>(bad).is_err(), "{bad}");
        }
        let long_ago: Timestamp = serde_json::from_str("\"1066-10-14T00:00:00Z\"").unwrap();
        assert_eq!(long_ago, Timestamp(0));
    }
}
