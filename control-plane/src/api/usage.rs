//! `/manage/usage`
#![expect(clippy::option_option, reason = "not asked for, not known and a value are three things")]

use super::Api;
use super::auth::Manager;
use super::error::{ApiError, Result};
use super::extract::Query;
use super::list::List;
use crate::domain::page::PageRequest;
use crate::domain::usage::{self as domain, By, Per};
use crate::money::NanoDollars;
use crate::timestamp::Timestamp;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// A group has the fields that it is made by; null there = not known.
#[derive(Serialize, ToSchema)]
pub(super) struct Usage {
    /// When the hour began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    hour: Option<Timestamp>,
    /// When the day began, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    day: Option<Timestamp>,
    /// Also where it is by token.
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<Option<Uuid>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<Option<Uuid>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Option<String>>,
    /// As the provider answered; as requested where it did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Option<String>>,
    requests: u64,
    bytes_in: u64,
    bytes_out: u64,
    /// Cached ones included.
    input_tokens: u64,
    /// Reasoning included.
    output_tokens: u64,
    cached_input_tokens: u64,
    reasoning_tokens: u64,
    /// US dollars, exact, of the requests whose price is known; null when it is known of none.
    #[schema(example = "0.0123")]
    cost_usd: Option<String>,
    /// Requests whose cost is not known and not in `cost_usd`.
    unpriced_requests: u64,
    /// Requests whose tokens were estimated from sizes.
    estimated_requests: u64,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Question {
    /// Any of `project`, `token`, `provider`, `model`, and one of `hour` and `day`, separated by commas; nothing = one sum.
    #[param(example = "token,day")]
    group_by: Option<String>,
    /// From the beginning of the hour, or day where it is by day, that this is in; 29 days before today unless given.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// To the end of the hour, or day, that this is in; now unless given.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    project_id: Option<Uuid>,
    token_id: Option<Uuid>,
    /// From 1 to 10000; 1000 unless given.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What was used, added up: by time, project, token, provider and model, rising.
#[utoipa::path(get, path = "/manage/usage", tag = "events", params(Question),
    responses((status = 200, body = List<Usage>)))]
pub(super) async fn list(
    manager: Manager,
    State(api): State<Api>,
    Query(question): Query<Question>,
) -> Result<Json<List<Usage>>> {
    let Question { group_by, from, to, project_id, token_id, limit, cursor } = question;
    let (by, per) = grouping(group_by.as_deref().unwrap_or_default())?;
    let (from, to) = (from.map(|Timestamp(at)| at), to.map(|Timestamp(at)| at));
    let question = domain::Question { by, per, from, to, project_id, token_id };
    let page = api.domain.usage(question, &PageRequest { limit, cursor }, manager.act().at).await?;
    Ok(Json(List::from(page, |group| Usage::by(group, by, per))))
}

fn grouping(text: &str) -> Result<(By, Option<Per>)> {
    let (mut by, mut per) = (By::default(), None);
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match (name, per) {
            ("project", _) => by.project = true,
            ("token", _) => by.token = true,
            ("provider", _) => by.provider = true,
            ("model", _) => by.model = true,
            ("hour", None | Some(Per::Hour)) => per = Some(Per::Hour),
            ("day", None | Some(Per::Day)) => per = Some(Per::Day),
            ("hour" | "day", Some(_)) => {
                return Err(ApiError::invalid("group_by: either hour or day, not both"));
            }
            _ => {
                let message = "group_by: knows project, token, provider, model, hour and day";
                return Err(ApiError::invalid(message));
            }
        }
    }
    Ok((by, per))
}

impl Usage {
    fn by(group: domain::Group, by: By, per: Option<Per>) -> Self {
        let start = |wanted| group.start.filter(|_| per == Some(wanted)).map(Timestamp);
        Self {
            hour: start(Per::Hour),
            day: start(Per::Day),
            project_id: (by.project || by.token).then_some(group.project_id),
            token_id: by.token.then_some(group.token_id),
            provider: by.provider.then_some(group.provider),
            model: by.model.then_some(group.model),
            requests: group.requests,
            bytes_in: group.bytes_in,
            bytes_out: group.bytes_out,
            input_tokens: group.input_tokens,
            output_tokens: group.output_tokens,
            cached_input_tokens: group.cached_input_tokens,
            reasoning_tokens: group.reasoning_tokens,
            cost_usd: group.cost.map(|cost| NanoDollars(cost).to_string()),
            unpriced_requests: group.unpriced_requests,
            estimated_requests: group.estimated_requests,
        }
    }
}
