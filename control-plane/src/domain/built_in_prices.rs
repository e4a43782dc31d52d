//! Prices of well-known models, as every deployment starts with. They are list
//! prices for plain text calls: no discount, no surcharge for long contexts or
//! for writing a provider's cache, no batch. Set your own at `/manage/prices`.

use crate::money::NanoDollars;
use crate::store::prices::PriceRow;
use shared::id::UnixMs;
use uuid::Uuid;

/// Where they are from.
pub const SOURCE: &str = "built in: public list prices as of 2026-08-05";

/// 2026-01-01, before anything was counted.
const START: UnixMs = 1_767_225_600_000;
const JULY_30: UnixMs = 1_785_369_600_000;
const SEPTEMBER: UnixMs = 1_788_220_800_000;

/// Dollars per million tokens: input, cached input (empty: as the other input), output.
type Dollars = (&'static str, &'static str, &'static str);

/// Each stands for the name itself, and for the name with the date of a version.
const OPENAI: &[(&str, UnixMs, Dollars)] = &[
    ("gpt-3.5-turbo", START, ("0.5", "", "1.5")),
    ("gpt-4-turbo", START, ("10", "", "30")),
    ("gpt-4.1", START, ("2", "0.5", "8")),
    ("gpt-4.1-mini", START, ("0.4", "0.1", "1.6")),
    ("gpt-4.1-nano", START, ("0.1", "0.025", "0.4")),
    ("gpt-4o", START, ("2.5", "1.25", "10")),
    ("gpt-4o-mini", START, ("0.15", "0.075", "0.6")),
    ("gpt-5", START, ("1.25", "0.125", "10")),
    ("gpt-5-mini", START, ("0.25", "0.025", "2")),
    ("gpt-5-nano", START, ("0.05", "0.005", "0.4")),
    ("gpt-5-pro", START, ("15", "", "120")),
    ("gpt-5.1", START, ("1.25", "0.125", "10")),
    ("gpt-5.1-codex", START, ("1.25", "0.125", "10")),
    ("gpt-5.1-codex-mini", START, ("0.25", "0.025", "2")),
    ("gpt-5.2", START, ("1.75", "0.175", "14")),
    ("gpt-5.2-pro", START, ("21", "", "168")),
    ("gpt-5.4", START, ("2.5", "0.25", "15")),
    ("gpt-5.4-mini", START, ("0.75", "0.075", "4.5")),
    ("gpt-5.4-nano", START, ("0.2", "0.02", "1.25")),
    ("gpt-5.4-pro", START, ("30", "", "180")),
    ("gpt-5.5", START, ("5", "0.5", "30")),
    ("gpt-5.5-pro", START, ("30", "", "180")),
    ("gpt-5.6-luna", START, ("1", "0.1", "6")),
    ("gpt-5.6-luna", JULY_30, ("0.2", "0.02", "1.2")),
    ("gpt-5.6-sol", START, ("5", "0.5", "30")),
    ("gpt-5.6-terra", START, ("2.5", "0.25", "15")),
    ("gpt-5.6-terra", JULY_30, ("2", "0.2", "12")),
    ("o1", START, ("15", "7.5", "60")),
    ("o1-pro", START, ("150", "", "600")),
    ("o3", START, ("2", "0.5", "8")),
    ("o3-mini", START, ("1.1", "0.55", "4.4")),
    ("o3-pro", START, ("20", "", "80")),
    ("o4-mini", START, ("1.1", "0.275", "4.4")),
    ("text-embedding-3-large", START, ("0.13", "", "0")),
    ("text-embedding-3-small", START, ("0.02", "", "0")),
    ("text-embedding-ada-002", START, ("0.1", "", "0")),
];

/// As patterns.
const OTHERS: &[(&str, &str, UnixMs, Dollars)] = &[
    ("anthropic", "claude-3-haiku*", START, ("0.25", "0.03", "1.25")),
    ("anthropic", "claude-3-opus*", START, ("15", "1.5", "75")),
    ("anthropic", "claude-3-5-haiku*", START, ("0.8", "0.08", "4")),
    ("anthropic", "claude-3-5-sonnet*", START, ("3", "0.3", "15")),
    ("anthropic", "claude-3-7-sonnet*", START, ("3", "0.3", "15")),
    ("anthropic", "claude-haiku-4-5*", START, ("1", "0.1", "5")),
    ("anthropic", "claude-sonnet-4*", START, ("3", "0.3", "15")),
    ("anthropic", "claude-sonnet-5*", START, ("2", "0.2", "10")),
    ("anthropic", "claude-sonnet-5*", SEPTEMBER, ("3", "0.3", "15")),
    ("anthropic", "claude-opus-4-20*", START, ("15", "1.5", "75")),
    ("anthropic", "claude-opus-4-0", START, ("15", "1.5", "75")),
    ("anthropic", "claude-opus-4-1*", START, ("15", "1.5", "75")),
    ("anthropic", "claude-opus-4-5*", START, ("5", "0.5", "25")),
    ("anthropic", "claude-opus-4-6*", START, ("5", "0.5", "25")),
    ("anthropic", "claude-opus-4-7*", START, ("5", "0.5", "25")),
    ("anthropic", "claude-opus-4-8*", START, ("5", "0.5", "25")),
    ("anthropic", "claude-fable-5*", START, ("10", "1", "50")),
    ("anthropic", "claude-mythos-5*", START, ("10", "1", "50")),
    ("google", "gemini-2.0-flash", START, ("0.1", "0.025", "0.4")),
    ("google", "gemini-2.0-flash-0*", START, ("0.1", "0.025", "0.4")),
    ("google", "gemini-2.0-flash-lite*", START, ("0.075", "", "0.3")),
    ("google", "gemini-2.5-flash", START, ("0.3", "0.03", "2.5")),
    ("google", "gemini-2.5-flash-preview-09-2025", START, ("0.3", "0.03", "2.5")),
    ("google", "gemini-2.5-flash-lite*", START, ("0.1", "0.01", "0.4")),
    ("google", "gemini-2.5-pro*", START, ("1.25", "0.125", "10")),
    ("google", "gemini-3-flash-preview*", START, ("0.5", "", "3")),
    ("google", "gemini-3-pro-preview*", START, ("2", "", "12")),
    ("google", "gemini-3.1-pro-preview*", START, ("2", "", "12")),
    ("google", "gemini-3.1-flash-lite*", START, ("0.25", "0.025", "1.5")),
    ("google", "gemini-3.5-flash", START, ("1.5", "0.15", "9")),
    ("google", "gemini-3.5-flash-lite*", START, ("0.3", "0.03", "2.5")),
    ("google", "gemini-3.6-flash", START, ("1.5", "0.15", "7.5")),
    ("mistral", "codestral*", START, ("0.3", "", "0.9")),
    ("mistral", "magistral-medium*", START, ("2", "", "5")),
    ("mistral", "ministral-3b*", START, ("0.04", "", "0.04")),
    ("mistral", "ministral-8b*", START, ("0.1", "", "0.1")),
    ("mistral", "mistral-large-latest", START, ("2", "", "6")),
    ("mistral", "mistral-medium-2505", START, ("0.4", "", "2")),
    ("mistral", "mistral-small-latest", START, ("0.1", "", "0.3")),
    ("mistral", "open-mistral-nemo*", START, ("0.15", "", "0.15")),
    ("mistral", "pixtral-large*", START, ("2", "", "6")),
    ("deepseek", "deepseek-v4-flash*", START, ("0.14", "0.028", "0.28")),
    ("deepseek", "deepseek-v4-pro*", START, ("1.74", "0.145", "3.48")),
    ("deepseek", "deepseek-chat", START, ("0.27", "", "1.1")),
    ("deepseek", "deepseek-reasoner", START, ("0.55", "", "2.19")),
];

/// All of them, without an id.
pub fn prices() -> impl Iterator<Item = PriceRow> {
    let openai = OPENAI.iter().flat_map(|&(model, from, dollars)| {
        [model.to_owned(), format!("{model}-20*")].map(|model| row("openai", model, from, dollars))
    });
    let others =
        OTHERS.iter().map(|&(provider, model, from, dollars)| row(provider, model.to_owned(), from, dollars));
    openai.chain(others).flatten()
}

fn row(provider: &str, model: String, from: UnixMs, (input, cached, output): Dollars) -> Option<PriceRow> {
    let nanos = |text: &str| text.parse().ok().map(|NanoDollars(nanos)| nanos);
    Some(PriceRow {
        id: Uuid::nil(),
        provider: provider.to_owned(),
        model,
        valid_from: from.cast_signed(),
        input: nanos(input)?,
        cached_input: if cached.is_empty() { None } else { Some(nanos(cached)?) },
        output: nanos(output)?,
        source: SOURCE.to_owned(),
        created_at: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::built_in::providers;
    use crate::events::cost::{Price, Prices};
    use std::collections::HashSet;

    #[test]
    fn all_are_numbers_and_each_is_there_once() {
        assert_eq!(prices().count(), 2 * OPENAI.len() + OTHERS.len());
        let keys: HashSet<_> =
            prices().map(|price| (price.provider, price.model, price.valid_from)).collect();
        assert_eq!(keys.len(), prices().count());
        let names: HashSet<String> = providers().map(|provider| provider.name).collect();
        assert!(prices().all(|price| names.contains(&price.provider)));
    }

    #[test]
    fn well_known_names_find_theirs() {
        let all = Prices::new(prices().map(Price::from).collect());
        let input = |provider, model, at| all.find(provider, model, at).map(|price| price.input / 1_000_000);
        assert_eq!(input("openai", "gpt-4o-2024-08-06", START), Some(2_500));
        assert_eq!(input("openai", "gpt-4o-mini-2024-07-18", START), Some(150));
        assert_eq!(input("openai", "gpt-4o-realtime-preview", START), None);
        assert_eq!(input("openai", "gpt-5.6-terra", JULY_30 - 1), Some(2_500));
        assert_eq!(input("openai", "gpt-5.6-terra", JULY_30), Some(2_000));
        assert_eq!(input("anthropic", "claude-3-5-sonnet-20241022", START), Some(3_000));
        assert_eq!(input("anthropic", "claude-opus-4-20250514", START), Some(15_000));
        assert_eq!(input("anthropic", "claude-opus-4-5-20251101", START), Some(5_000));
        assert_eq!(input("google", "gemini-2.5-flash-lite", START), Some(100));
        assert_eq!(input("groq", "gpt-4o", START), None);
    }
}
