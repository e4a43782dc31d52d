//! `/manage/prices`

use super::Api;
use super::auth::Manager;
use super::error::{ApiError, ErrorBody, Result};
use super::extract::{Body, Path, Query, present};
use super::list::List;
use crate::domain::page::PageRequest;
use crate::domain::prices as domain;
use crate::money::NanoDollars;
use crate::timestamp::Timestamp;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// US dollars for a million tokens, as exact decimal numbers.
#[derive(Serialize, ToSchema)]
pub(super) struct Price {
    id: Uuid,
    provider: String,
    /// `*` stands for any characters.
    #[schema(example = "gpt-4o-20*")]
    model: String,
    #[schema(value_type = String, format = DateTime)]
    valid_from: Timestamp,
    #[schema(example = "2.5")]
    input_usd_per_million: String,
    /// Of input that the provider had in its cache; null = as the other input.
    cached_input_usd_per_million: Option<String>,
    output_usd_per_million: String,
    /// Where it is from.
    source: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPrice {
    provider: String,
    /// `*` stands for any characters; of the patterns that match, the most exact holds.
    #[schema(example = "gpt-4o-20*")]
    model: String,
    /// Now unless given; at most a year ahead.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, format = DateTime)]
    valid_from: Option<Timestamp>,
    /// From 0 to 10000, a decimal number or a text with one.
    #[schema(value_type = String, example = "2.5")]
    input_usd_per_million: Amount,
    /// As the other input unless given.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    cached_input_usd_per_million: Option<Amount>,
    #[schema(value_type = String, example = "10")]
    output_usd_per_million: Amount,
    /// At most 200 characters, for you.
    #[serde(default)]
    source: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Amount {
    Number(serde_json::Number),
    Text(String),
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    provider: Option<String>,
    /// From 1 to 100; 20 unless given.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// All prices, past ones too, last set first.
#[utoipa::path(get, path = "/manage/prices", tag = "prices", params(Filter),
    responses((status = 200, body = List<Price>)))]
pub(super) async fn list(
    _: Manager,
    State(api): State<Api>,
    Query(query): Query<Filter>,
) -> Result<Json<List<Price>>> {
    let Filter { provider, limit, cursor } = query;
    let page = api.domain.list_prices(provider.as_deref(), &PageRequest { limit, cursor }).await?;
    Ok(Json(List::from(page, Price::from)))
}

/// Sets a price from some time on. What was counted before stays as it was counted.
#[utoipa::path(post, path = "/manage/prices", tag = "prices", request_body = NewPrice,
    responses((status = 201, body = Price),
        (status = 409, description = "There is one for these models from this time on", body = ErrorBody)))]
pub(super) async fn create(
    manager: Manager,
    State(api): State<Api>,
    Body(new): Body<NewPrice>,
) -> Result<(StatusCode, Json<Price>)> {
    let price = api.domain.create_price(manager.act(), new.try_into()?).await?;
    Ok((StatusCode::CREATED, Json(price.into())))
}

/// Takes back a price that does not hold yet.
#[utoipa::path(delete, path = "/manage/prices/{id}", tag = "prices", params(("id" = Uuid, Path)),
    responses((status = 204, description = "Deleted"), (status = 404, body = ErrorBody),
        (status = 409, description = "It holds already", body = ErrorBody)))]
pub(super) async fn delete(
    manager: Manager,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    api.domain.delete_price(manager.act(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Amount {
    fn nanos(&self, field: &str) -> Result<NanoDollars> {
        let parsed = match self {
            Self::Number(number) => number.to_string().parse(),
            Self::Text(text) => text.parse(),
        };
        parsed.map_err(|error| ApiError::invalid(format!("{field}: {error}")))
    }
}

impl TryFrom<NewPrice> for domain::NewPrice {
    type Error = ApiError;

    fn try_from(new: NewPrice) -> Result<Self> {
        let cached = new.cached_input_usd_per_million;
        Ok(Self {
            provider: new.provider,
            model: new.model,
            valid_from: new.valid_from.map(|Timestamp(at)| at),
            input: new.input_usd_per_million.nanos("input_usd_per_million")?,
            cached_input: cached.map(|amount| amount.nanos("cached_input_usd_per_million")).transpose()?,
            output: new.output_usd_per_million.nanos("output_usd_per_million")?,
            source: new.source,
        })
    }
}

impl From<domain::Price> for Price {
    fn from(price: domain::Price) -> Self {
        Self {
            id: price.id,
            provider: price.provider,
            model: price.model,
            valid_from: Timestamp(price.valid_from),
            input_usd_per_million: price.input.to_string(),
            cached_input_usd_per_million: price.cached_input.map(|amount| amount.to_string()),
            output_usd_per_million: price.output.to_string(),
            source: price.source,
            created_at: Timestamp(price.created_at),
        }
    }
}
