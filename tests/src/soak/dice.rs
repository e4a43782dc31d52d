//! Chance that can be had again: the same seed gives the same rolls.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `SplitMix64` (Steele, Lea and Flood: Fast Splittable Pseudorandom Number Generators, 2014).
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// From `SOAK_SEED`, else from the clock; printed for who wants the same again.
    pub fn of_environment() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let given = std::env::var("SOAK_SEED").ok().map(|seed| seed.parse().expect("SOAK_SEED is a number"));
        let seed = given.unwrap_or(since.as_secs() ^ u64::from(since.subsec_nanos()) << 20);
        println!("SOAK_SEED={seed}");
        Self::new(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(bound).unwrap()).unwrap()
    }

    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.roll() % (range.end - range.start))
    }

    /// None of nothing.
    pub fn pick<T>(&mut self, mut of: impl Iterator<Item = T>) -> Option<T> {
        let mut chosen = of.next()?;
        for (before, other) in of.enumerate() {
            if self.below(before + 2) == 0 {
                chosen = other;
            }
        }
        Some(chosen)
    }

    /// Its rolls do not depend on how many are made here meanwhile.
    #[must_use]
    pub fn child(&mut self) -> Self {
        Self::new(self.roll())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_and_every_choice_comes_up() {
        let picks = |seed| {
            let mut dice = Dice::new(seed);
            (0..100).map(|_| dice.pick(0..7).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(picks(1), picks(1));
        assert_ne!(picks(1), picks(2));
        assert!((0..7).all(|choice| picks(1).contains(&choice)));
        assert_eq!(Dice::new(1).pick(std::iter::empty::<u8>()), None);
    }
}
