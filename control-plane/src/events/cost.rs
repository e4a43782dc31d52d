//! What a request cost: prices as of its time, in whole nano-dollars.

use shared::event::Usage;
use shared::id::UnixMs;

/// Nano-dollars per million tokens, for the models of a provider that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    pub provider: String,
    /// `*` stands for any characters.
    pub model: String,
    pub valid_from: UnixMs,
    pub input: i64,
    /// `None`: as the other input.
    pub cached_input: Option<i64>,
    pub output: i64,
}

const TOKENS_PER_PRICE: i128 = 1_000_000;

/// All prices there are.
#[derive(Clone, Debug, Default)]
pub struct Prices(Vec<Price>);

impl Prices {
    /// The most exact pattern goes first, and of one pattern the latest price.
    pub fn new(mut prices: Vec<Price>) -> Self {
        prices.sort_by_key(|price| std::cmp::Reverse((exactness(&price.model), price.valid_from)));
        Self(prices)
    }

    /// The price that held at `at`.
    pub fn find(&self, provider: &str, model: &str, at: UnixMs) -> Option<&Price> {
        self.0.iter().find(|price| {
            price.provider == provider && price.valid_from <= at && matches(&price.model, model)
        })
    }
}

impl Price {
    /// Rounded once, half up. Tokens that are not known cost nothing that is known.
    pub fn cost(&self, usage: &Usage) -> i64 {
        let input = i128::from(usage.input_tokens.unwrap_or_default());
        let cached = i128::from(usage.cached_input_tokens.unwrap_or_default()).min(input);
        let output = i128::from(usage.output_tokens.unwrap_or_default());
        let cached_price = self.cached_input.unwrap_or(self.input);
        let exact = (input - cached) * i128::from(self.input)
            + cached * i128::from(cached_price)
            + output * i128::from(self.output);
        let rounded = (exact + TOKENS_PER_PRICE / 2).div_euclid(TOKENS_PER_PRICE);
        i64::try_from(rounded).unwrap_or(i64::MAX)
    }
}

/// Without a `*` first, then the more characters the better.
fn exactness(pattern: &str) -> (bool, usize) {
    (!pattern.contains('*'), pattern.len() - pattern.matches('*').count())
}

/// Whether `text` is what `pattern` says; `*` stands for any characters, none included.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    // The first place where each part fits leaves the most for those after it.
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(model: &str, valid_from: UnixMs, input: i64) -> Price {
        Price { provider: "p".into(), model: model.into(), valid_from, input, cached_input: None, output: 0 }
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-4o*", "gpt-4o", true),
            ("gpt-4o-20*", "gpt-4o-2024-08-06", true),
            ("*", "", true),
            ("claude-*-sonnet-*", "claude-3-5-sonnet-20241022", true),
            ("claude-*-sonnet-*", "claude-3-5-sonnet", false),
            ("*ab", "aab", true),
            ("a*a", "a", false),
            ("*a*b*", "xbxax", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_most_exact_pattern_and_then_the_latest_price_holds() {
        let prices = Prices::new(vec![
            price("gpt-4o*", 200, 1),
            price("gpt-4o-mini*", 100, 2),
            price("gpt-4o-mini*", 300, 3),
            price("*", 0, 4),
            price("gpt-4o-mini", 400, 5),
        ]);
        let found = |model, at| prices.find("p", model, at).map(|price| price.input);
        assert_eq!(found("gpt-4o-mini", 250), Some(2));
        assert_eq!(found("gpt-4o-mini", 300), Some(3));
        assert_eq!(found("gpt-4o-mini", 400), Some(5));
        assert_eq!(found("gpt-4o-mini-2024", 400), Some(3));
        assert_eq!(found("gpt-4o", 150), Some(4));
        assert_eq!(found("gpt-4o", 200), Some(1));
        assert_eq!(prices.find("other", "gpt-4o", 200), None);
    }

    #[test]
    fn a_cost_is_rounded_once() {
        let price =
            Price { cached_input: Some(75_000_000), output: 600_000_000, ..price("m", 0, 150_000_000) };
        let usage = |input, cached, output| Usage {
            input_tokens: Some(input),
            cached_input_tokens: Some(cached),
            output_tokens: Some(output),
            reasoning_tokens: None,
        };
        assert_eq!(price.cost(&usage(1_000, 0, 500)), 150_000 + 300_000);
        assert_eq!(price.cost(&usage(1_000, 400, 0)), 90_000 + 30_000);
        // More cached than there were counts as all.
        assert_eq!(price.cost(&usage(10, 20, 0)), 750);
        let cheap = Price { input: 500_000, ..price.clone() };
        assert_eq!((cheap.cost(&usage(1, 0, 0)), cheap.cost(&usage(3, 0, 0))), (1, 2));
        let dear = Price { input: i64::MAX, ..price };
        assert_eq!(dear.cost(&usage(1 << 40, 0, 0)), i64::MAX);
    }
}
