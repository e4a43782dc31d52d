//! Whose turn it is, for each route: one counter for all would give two routes that
//! are asked alternately each the same target forever.

use lru::LruCache;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use uuid::Uuid;

const MAX_ROUTES: usize = 1_024;

#[derive(Debug)]
pub struct Turns(LruCache<(Uuid, u64), u64, BuildHasherDefault<DefaultHasher>>);

impl Default for Turns {
    fn default() -> Self {
        Self(LruCache::unbounded_with_hasher(BuildHasherDefault::default()))
    }
}

impl Turns {
    /// The next one's. `chance` is where a route begins, so that not all isolates begin alike.
    pub fn next(&mut self, project: Uuid, route: &str, chance: u64) -> u64 {
        let mut name = DefaultHasher::new();
        route.hash(&mut name);
        let turn = self.0.get_or_insert_mut((project, name.finish()), || chance);
        *turn = turn.wrapping_add(1);
        let turn = *turn;
        if self.0.len() > MAX_ROUTES {
            self.0.pop_lru();
        }
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_has_its_own() {
        let (mut turns, project) = (Turns::default(), Uuid::from_u128(1));
        let asked: Vec<u64> =
            ["a", "b", "a", "b", "a"].map(|route| turns.next(project, route, 0)).into_iter().collect();
        assert_eq!(asked, [1, 1, 2, 2, 3]);
        assert_eq!(turns.next(Uuid::from_u128(2), "a", u64::MAX), 0);
    }

    #[test]
    fn is_bounded() {
        let mut turns = Turns::default();
        for project in 0..2 * MAX_ROUTES {
            turns.next(Uuid::from_u128(project as u128), "a", 0);
        }
        assert_eq!(turns.0.len(), MAX_ROUTES);
    }
}
