//! Finds a place among sorted numbers that are spread more or less evenly, as
//! the times in ids are: a few steps, however many there are. Where they are
//! not spread so, it takes no more steps than binary search does.

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Guide {
    /// Sorted.
    numbers: Box<[u64]>,
    /// Where each stretch of equal width begins among them, and where the last
    /// one ends. There are about as many as numbers.
    starts: Box<[u32]>,
    /// Binary digits of a stretch's width.
    shift: u32,
}

/// How many of the numbers are at or below the one that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Known(usize),
    /// One is equal to it.
    Tie,
}

impl Guide {
    /// `numbers` are sorted.
    pub(super) fn new(numbers: Box<[u64]>) -> Self {
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return Self::default() };
        let count = numbers.len() as u64;
        // The narrowest of which there are no more than two for each number.
        let shift =
            (0..u64::BITS - 1).find(|shift| (last - first) >> shift < 2 * count).unwrap_or(u64::BITS - 1);
        let mut starts: Vec<u32> = Vec::new();
        for (at, number) in numbers.iter().enumerate() {
            let stretch = stretch(number - first, shift);
            // An index has no more shards than its count of 32 bits says.
            starts.resize(starts.len().max(stretch + 1), u32::try_from(at).unwrap_or(u32::MAX));
        }
        starts.push(u32::try_from(numbers.len()).unwrap_or(u32::MAX));
        Self { starts: starts.into_boxed_slice(), shift, numbers }
    }

    #[inline]
    pub(super) fn after(&self, wanted: u64) -> Place {
        let Some(beyond) = self.numbers.first().and_then(|first| wanted.checked_sub(*first)) else {
            return Place::Known(0);
        };
        let stretch = stretch(beyond, self.shift);
        let (start, end) = match (self.starts.get(stretch), self.starts.get(stretch + 1)) {
            (Some(start), Some(end)) => (*start as usize, *end as usize),
            _ => return Place::Known(self.numbers.len()),
        };
        let after = start + self.numbers[start..end].partition_point(|number| *number <= wanted);
        if after > 0 && self.numbers[after - 1] == wanted { Place::Tie } else { Place::Known(after) }
    }

    pub(super) fn footprint(&self) -> usize {
        size_of_val(&*self.numbers) + size_of_val(&*self.starts)
    }
}

fn stretch(beyond: u64, shift: u32) -> usize {
    usize::try_from(beyond >> shift).unwrap_or(usize::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(numbers: &[u64], wanted: u64) {
        let guide = Guide::new(numbers.into());
        let expected = if numbers.contains(&wanted) {
            Place::Tie
        } else {
            Place::Known(numbers.partition_point(|number| *number <= wanted))
        };
        assert_eq!(guide.after(wanted), expected, "{wanted} among {numbers:?}");
    }

    #[test]
    fn at_the_ends() {
        for wanted in [0, 1, u64::MAX - 1, u64::MAX] {
            check(&[], wanted);
            check(&[1], wanted);
            check(&[0, u64::MAX], wanted);
            check(&[u64::MAX - 1, u64::MAX], wanted);
            check(&[7, 7, 7], wanted);
        }
    }

    #[test]
    fn takes_little_however_the_numbers_are_spread() {
        for numbers in [(0..1_000).collect::<Vec<u64>>(), (0..63).map(|n| 1 << n).collect()] {
            let guide = Guide::new(numbers.clone().into());
            assert!(guide.footprint() <= numbers.len() * 16 + 8, "{}", guide.footprint());
        }
    }

    proptest! {
        #[test]
        fn finds_the_place_of_any_number(
            numbers in proptest::collection::vec(prop_oneof![any::<u64>(), 0u64..100, 1_000_000u64..1_000_100], 0..60),
            others in proptest::collection::vec(prop_oneof![any::<u64>(), 0u64..110, 999_990u64..1_000_110], 0..60),
        ) {
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            for wanted in numbers.into_iter().chain(others) {
                check(&sorted, wanted);
            }
        }
    }
}
