//! Many chances from one that was given.

/// `SplitMix64`: Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
pub(super) fn mixed(chance: u64, salt: u64) -> u64 {
    let mut z = chance.wrapping_add(salt.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// From 0 to `most`.
pub(super) fn up_to(most: u32, chance: u64) -> u64 {
    ((chance >> 32) * (u64::from(most) + 1)) >> 32
}

/// Where one of `weight` stands: of several, each is the lowest in proportion to its
/// weight, of those that are left again, and so on (Efraimidis and Spirakis, "Weighted
/// random sampling with a reservoir"). One without weight comes last.
pub(super) fn place(weight: u32, chance: u64) -> u64 {
    // Never 0 nor 1.
    let between = (f64::from((chance >> 32) as u32) + 0.5) / 4_294_967_296.0;
    let place = -between.ln() / f64::from(weight);
    // The bits of floats that are not negative are in their order.
    place.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_even_and_within_bounds() {
        assert_eq!((up_to(0, u64::MAX), up_to(9, 0), up_to(9, u64::MAX)), (0, 0, 9));
        assert_eq!(up_to(u32::MAX, u64::MAX), u64::from(u32::MAX));
        let mut counts = [0; 10];
        for chance in 0..100_000 {
            counts[usize::try_from(up_to(9, mixed(chance, 3))).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
    }

    #[test]
    fn no_place_is_below_zero_and_no_weight_is_last() {
        for chance in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(f64::from_bits(place(1, chance)) > 0.0);
            assert!(place(1_000_000, chance) < place(1, chance) && place(1, chance) < place(0, chance));
        }
    }
}
