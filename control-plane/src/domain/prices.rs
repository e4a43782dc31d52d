//! Prices: dated, so that a new one does not rewrite the past.

use super::audit::{self, Change};
use super::page::{Page, PageRequest};
use super::{Act, Domain, Error, Result, built_in_prices, checked_name, checked_text};
use crate::chance;
use crate::money::NanoDollars;
use crate::store::prices::{self as table, PriceRow};
use crate::store::{is_duplicate, providers};
use serde_json::{Value, json};
use shared::id::{self, UnixMs};
use uuid::Uuid;

/// Nano-dollars for a million tokens: ten thousand dollars.
const HIGHEST: i64 = 10_000_000_000_000;

/// How far ahead a price may be set: a year.
const MAX_AHEAD_MS: UnixMs = 366 * 24 * 60 * 60 * 1000;

const MOST_STARS: usize = 8;

/// Per million tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    pub id: Uuid,
    pub provider: String,
    /// `*` stands for any characters.
    pub model: String,
    pub valid_from: UnixMs,
    pub input: NanoDollars,
    /// `None`: as the other input.
    pub cached_input: Option<NanoDollars>,
    pub output: NanoDollars,
    pub source: String,
    pub created_at: UnixMs,
}

#[derive(Clone, Debug)]
pub struct NewPrice {
    pub provider: String,
    pub model: String,
    /// Now unless given.
    pub valid_from: Option<UnixMs>,
    pub input: NanoDollars,
    pub cached_input: Option<NanoDollars>,
    pub output: NanoDollars,
    pub source: String,
}

impl Domain {
    /// Adds the built-in prices that are missing.
    pub async fn seed_prices(&self, act: &Act) -> Result<()> {
        let mut tx = self.store.write().await?;
        let mut added = 0_u32;
        for price in built_in_prices::prices() {
            let row = PriceRow {
                id: id::new(act.at, &chance::bytes()?),
                created_at: act.at.cast_signed(),
                ..price
            };
            added += u32::from(table::insert_if_absent(&mut tx, &row).await?);
        }
        if added > 0 {
            let change = Change {
                action: "price.seed",
                resource_id: "built-in".to_owned(),
                project_id: None,
                before: None,
                after: Some(json!({ "added": added, "source": built_in_prices::SOURCE })),
            };
            audit::record(&mut tx, act, change).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Newest first.
    pub async fn list_prices(&self, provider: Option<&str>, page: &PageRequest) -> Result<Page<Price>> {
        let (before, rows) = (page.before()?, page.rows()?);
        let mut tx = self.store.read().await?;
        let rows = table::list(&mut tx, provider.unwrap_or_default(), before, rows).await?;
        page.page(rows, |row| row.id.as_bytes().to_vec(), |row| Ok(row.into()))
    }

    /// Sets a price from some time on. What was counted before stays as it was counted.
    pub async fn create_price(&self, act: &Act, new: NewPrice) -> Result<Price> {
        let row = checked(new, act.at)?;
        let mut tx = self.store.write().await?;
        if providers::get(&mut tx, &row.provider).await?.is_none() {
            return Err(Error::invalid("provider", "there is no provider of this name"));
        }
        table::insert(&mut tx, &row).await.map_err(|error| {
            if is_duplicate(&error, "prices", "valid_from") {
                Error::Conflict("there is a price for these models from this very time on".to_owned())
            } else {
                error.into()
            }
        })?;
        let price = Price::from(row);
        let change = Change {
            action: "price.create",
            resource_id: price.id.to_string(),
            project_id: None,
            before: None,
            after: Some(for_audit(&price)),
        };
        audit::record(&mut tx, act, change).await?;
        tx.commit().await?;
        Ok(price)
    }

    /// Only one that does not hold yet: others were counted with.
    pub async fn delete_price(&self, act: &Act, id: Uuid) -> Result<()> {
        let mut tx = self.store.write().await?;
        let price = Price::from(table::lock(&mut tx, id).await?.ok_or(Error::NotFound("price"))?);
        if price.valid_from <= act.at {
            let message = "the price holds already, so events may have been counted with it; \
                           set another one from now on";
            return Err(Error::Conflict(message.to_owned()));
        }
        table::delete(&mut tx, id).await?;
        let change = Change {
            action: "price.delete",
            resource_id: id.to_string(),
            project_id: None,
            before: Some(for_audit(&price)),
            after: None,
        };
        audit::record(&mut tx, act, change).await?;
        Ok(tx.commit().await?)
    }
}

fn checked(new: NewPrice, now: UnixMs) -> Result<PriceRow> {
    let model = checked_name("model", &new.model)?;
    if model.matches('*').count() > MOST_STARS {
        return Err(Error::invalid("model", "has at most 8 `*`"));
    }
    let valid_from = new.valid_from.unwrap_or(now);
    if valid_from > now.saturating_add(MAX_AHEAD_MS) {
        return Err(Error::invalid("valid_from", "is more than a year ahead"));
    }
    let amount = |field, NanoDollars(amount): NanoDollars| {
        if (0..=HIGHEST).contains(&amount) {
            Ok(amount)
        } else {
            Err(Error::invalid(field, "must be from 0 to 10000"))
        }
    };
    Ok(PriceRow {
        id: id::new(now, &chance::bytes()?),
        provider: new.provider,
        model,
        valid_from: valid_from.cast_signed(),
        input: amount("input_usd_per_million", new.input)?,
        cached_input: new
            .cached_input
            .map(|price| amount("cached_input_usd_per_million", price))
            .transpose()?,
        output: amount("output_usd_per_million", new.output)?,
        source: checked_text("source", &new.source)?,
        created_at: now.cast_signed(),
    })
}

fn for_audit(price: &Price) -> Value {
    json!({
        "provider": price.provider,
        "model": price.model,
        "valid_from": price.valid_from,
        "input_usd_per_million": price.input.to_string(),
        "cached_input_usd_per_million": price.cached_input.map(|price| price.to_string()),
        "output_usd_per_million": price.output.to_string(),
        "source": price.source,
    })
}

impl From<PriceRow> for Price {
    fn from(row: PriceRow) -> Self {
        let PriceRow { id, provider, model, valid_from, input, cached_input, output, source, created_at } =
            row;
        Self {
            id,
            provider,
            model,
            valid_from: valid_from.cast_unsigned(),
            input: NanoDollars(input),
            cached_input: cached_input.map(NanoDollars),
            output: NanoDollars(output),
            source,
            created_at: created_at.cast_unsigned(),
        }
    }
}
