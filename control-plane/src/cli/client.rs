//! The management API, as commands call it.

use super::{Failure, environment};
use crate::config::{self, ManagementApi};
use clap::Args;
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(1);

/// How the control plane is reached.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Where the control plane answers [default: `CONTROL_PLANE_URL`, or what `LISTEN_ADDR` or
    /// `CONTROL_PLANE_PORT` say, or port 8080 of this machine]
    #[arg(long)]
    url: Option<String>,
}

#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    api: ManagementApi,
}

/// What the control plane said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Value,
}

impl Answer {
    pub(super) fn ok(self) -> Result<Value, Failure> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let message = self.body["error"]["message"].as_str().unwrap_or("no reason given");
        Err(Failure::new(format!("{}: {message}", self.status)))
    }
}

impl Client {
    pub(super) fn new(place: &Place) -> Result<Self, Failure> {
        let kept = |path: &Path| std::fs::read_to_string(path).ok();
        let api = config::management_api(&environment, &kept, place.url.as_deref())?;
        let http = reqwest::Client::builder().timeout(PATIENCE).build().map_err(Failure::new)?;
        Ok(Self { http, api })
    }

    /// The answer to a GET of what is below `/manage/`.
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        let url = Url::parse_with_params(&self.place_of(path), query).map_err(Failure::new)?;
        self.answer(self.http.get(url)).await?.ok()
    }

    /// What is answered to any other call of it.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let request = self.http.request(method, self.place_of(path));
        self.answer(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    fn place_of(&self, path: &str) -> String {
        format!("{}/manage/{path}", self.base())
    }

    fn base(&self) -> &str {
        self.api.url.as_str().trim_end_matches('/')
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let base = self.base();
        let answer = request.bearer_auth(self.api.token.reveal()).send().await.map_err(|_| {
            Failure::new(format!(
                "no control plane answers at {base}; start it, or say where it is with --url or CONTROL_PLANE_URL"
            ))
        })?;
        let status = answer.status();
        if status == StatusCode::NO_CONTENT {
            return Ok(Answer { status, body: Value::Null });
        }
        let body = answer.json().await.map_err(|_| {
            Failure::new(format!("what answers at {base} is no control plane, or it broke off ({status})"))
        })?;
        if status == StatusCode::UNAUTHORIZED {
            return Err(Failure::new("the control plane does not take this MANAGEMENT_TOKEN"));
        }
        Ok(Answer { status, body })
    }

    /// All items of a list, page after page, at most `most`.
    pub(super) async fn list(
        &self,
        path: &str,
        query: &[(&str, String)],
        page: usize,
        most: usize,
    ) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut cursor = None;
        loop {
            let limit = page.min(most - items.len());
            let next;
            (next, cursor) = self.page(path, query, limit, cursor).await?;
            items.extend(next);
            if cursor.is_none() || items.len() >= most {
                return Ok(items);
            }
        }
    }

    /// A page of a list, and the cursor of the next one.
    pub(super) async fn page(
        &self,
        path: &str,
        query: &[(&str, String)],
        limit: usize,
        cursor: Option<String>,
    ) -> Result<(Vec<Value>, Option<String>), Failure> {
        let mut query = query.to_vec();
        query.push(("limit", limit.to_string()));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let mut body = self.get(path, &query).await?;
        let Some(Value::Array(items)) = body.get_mut("data").map(Value::take) else {
            return Err(Failure::new("what was answered is not a list"));
        };
        Ok((items, body["next_cursor"].as_str().map(str::to_owned)))
    }
}
