//! By what is remembered how a provider fares: a credential, and what is asked
//! with it. A credential is of one provider, so its id stands for that too.

use std::hash::{DefaultHasher, Hash, Hasher};
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    credential: Uuid,
    scope: Scope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scope {
    /// The credential, whatever is asked with it.
    All,
    /// What is asked without a route, whatever the model.
    Unrouted,
    /// The hash of a model's name. Whoever finds another name with the same hash has
    /// two models of one project tried in an order that is not the best.
    Model(u64),
}

/// What a person calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    pub provider: &'a str,
    /// As it is sent; none without a route.
    pub model: Option<&'a str>,
}

impl Key {
    /// `model` as it is sent; none without a route.
    pub fn of(credential: Uuid, model: Option<&str>) -> Self {
        let hash = |model: &str| {
            let mut hasher = DefaultHasher::new();
            model.hash(&mut hasher);
            hasher.finish()
        };
        Self { credential, scope: model.map_or(Scope::Unrouted, |model| Scope::Model(hash(model))) }
    }

    /// For the same model; to hash its name once.
    #[must_use]
    pub fn with_credential(self, credential: Uuid) -> Self {
        Self { credential, ..self }
    }

    /// That of the credential itself.
    #[must_use]
    pub fn of_all(self) -> Self {
        Self { scope: Scope::All, ..self }
    }

    pub fn credential(self) -> Uuid {
        self.credential
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_apart_what_may_fare_differently() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(Key::of(a, Some("m")), Key::of(a, Some("m")));
        let all = [Key::of(a, Some("m")), Key::of(a, Some("n")), Key::of(a, None), Key::of(a, None).of_all()];
        for (at, key) in all.iter().enumerate() {
            assert!(all.iter().skip(at + 1).all(|other| other != key));
            assert_eq!(key.of_all(), all[3]);
        }
        assert_ne!(Key::of(a, Some("m")), Key::of(b, Some("m")));
    }
}
