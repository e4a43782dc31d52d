//! The providers, and the allow-lists in them, which were written by a person.

use crate::memory::bounded;
use shared::policy;
use shared::snapshot::config::{self, Providers};

pub fn run(data: &[u8]) -> bool {
    let Ok(providers) = bounded(data.len(), || config::decode::<Providers>(data)) else { return false };
    use_all(&providers);
    assert_eq!(config::decode::<Providers>(&config::encode(&providers).unwrap()).unwrap(), providers);
    true
}

/// Finds each by its name, and asks its allow-list for a few paths.
pub(crate) fn use_all(providers: &Providers) {
    for provider in &providers.providers {
        assert_eq!(providers.find(&provider.name).map(|found| &found.name), Some(&provider.name));
        assert!(provider.base_url.starts_with(provider.origin()));
        for path in ["/", "/v1/chat/completions", "//a/a/a/a/a/b", &provider.base_url] {
            policy::judge(&provider.allowed_endpoints, "POST", path);
        }
        for rule in &provider.allowed_endpoints {
            // A pattern that says nothing but itself matches itself.
            let is_plain = rule.validate().is_ok() && !rule.path.contains('*');
            assert!(!is_plain || policy::matches(&rule.path, &rule.path));
        }
    }
    assert!(providers.find("\0").is_none_or(|found| found.name == "\0"));
}
