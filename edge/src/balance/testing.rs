//! For tests.

use super::happened::Happened;
use super::key::{Key, Named};
use shared::id::UnixMs;
use uuid::Uuid;

pub(crate) const NOW: UnixMs = 1_700_000_000_000;
pub(crate) const NAMED: Named<'_> = Named { provider: "openai", model: Some("gpt-4o") };
pub(crate) const OK: Happened = answered(200);

pub(crate) const fn answered(status: u16) -> Happened {
    Happened::Answered { status, kind: None }
}

pub(crate) fn key(number: usize) -> Key {
    Key::of(Uuid::from_u128(number as u128), NAMED.model)
}
