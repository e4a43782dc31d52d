//! The ways in which an object can arrive damaged.

use std::ops::Range;

/// One of them; its `Debug` form is what a failed assertion names.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    Flipped {
        at: usize,
        bit: u8,
    },
    CutTo(usize),
    /// With so many zeros after its end.
    Longer(usize),
    /// Its own beginning, of that length, once more after its end.
    Repeated(usize),
    WithoutFirst(usize),
    /// A huge number in the place of a length, in the form that the object may have it in.
    Huge {
        at: usize,
        number: &'static [u8],
    },
    Zeroed(Range<usize>),
}

/// As 4 and 8 bytes little-endian, as a varint, and in decimal.
const HUGE: [&[u8]; 6] = [
    &[0xff; 4],
    &[0xff, 0xff, 0xff, 0x7f],
    // 2^26 records, 2^32 bytes: nothing at all for who counts in 32 bits.
    &[0, 0, 0, 4],
    &[0xff; 8],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    b"18446744073709551615",
];

impl Damage {
    pub(crate) fn to(&self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        match self {
            Self::Flipped { at, bit } => bytes[*at] ^= 1 << bit,
            Self::CutTo(length) => bytes.truncate(*length),
            Self::Longer(by) => bytes.extend(std::iter::repeat_n(0, *by)),
            Self::Repeated(length) => bytes.extend_from_slice(&good[..*length]),
            Self::WithoutFirst(length) => drop(bytes.drain(..*length)),
            Self::Huge { at, number } => {
                let end = good.len().min(at + number.len());
                bytes.splice(*at..end, number.iter().copied());
            }
            Self::Zeroed(range) => bytes[range.clone()].fill(0),
        }
        bytes
    }
}

/// Every one at each of the `offsets`, and those that concern the whole. None
/// leaves the object as it is.
pub(crate) fn all<'a>(
    good: &'a [u8],
    offsets: &[usize],
) -> impl Iterator<Item = (Damage, Vec<u8>)> + use<'a> {
    let length = good.len();
    let mut damages = vec![
        Damage::Longer(1),
        Damage::Longer(64),
        Damage::Repeated(1),
        Damage::Repeated(length.min(64)),
        Damage::Repeated(length),
        Damage::WithoutFirst(1),
        Damage::WithoutFirst(length.min(64)),
        Damage::Zeroed(0..length),
        Damage::Zeroed(0..length / 2),
        Damage::Zeroed(length / 2..length),
    ];
    for &at in offsets {
        damages.extend((0..8).map(|bit| Damage::Flipped { at, bit }));
        damages.push(Damage::CutTo(at));
        damages.extend(HUGE.map(|number| Damage::Huge { at, number }));
        damages.push(Damage::Zeroed(at..length.min(at + 8)));
    }
    let with_result = move |damage: Damage| {
        let bytes = damage.to(good);
        (bytes != good).then_some((damage, bytes))
    };
    damages.into_iter().filter_map(with_result)
}

/// At every offset.
pub(crate) fn everywhere(good: &[u8]) -> impl Iterator<Item = (Damage, Vec<u8>)> {
    all(good, &(0..good.len()).collect::<Vec<_>>())
}

/// Where each token of a JSON text begins and ends.
pub(crate) fn json_offsets(text: &[u8], within: Range<usize>) -> Vec<usize> {
    let is_boundary = |at: &usize| {
        let around = &text[at.saturating_sub(1)..text.len().min(at + 2)];
        around.iter().any(|byte| b"{}[]:,\"".contains(byte))
    };
    within.filter(is_boundary).collect()
}
