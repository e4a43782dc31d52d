//! One exchange, the same for every provider: read the body, check the credential, parse, answer.

use axum::body::Body;
use axum::extract::rejection::ExtensionRejection;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts as _, Path, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::error::{Api, Problem};
use crate::reply::Reply;
use crate::script::{Fault, Script};
use crate::server::{App, Options};
use crate::stage::Stage;
use crate::tally::Tallies;
use crate::wire::Line;
use crate::{anthropic, fault, gemini, openai, record};

/// The largest body that is parsed. Larger than any provider's own limit; uploads are not parsed
/// and have none.
const MAX_JSON: usize = 128 << 20;

/// A request as it came in, with its body unread.
pub(crate) struct Exchange {
    pub(crate) api: Api,
    pub(crate) options: Options,
    tallies: Tallies,
    line: Line,
    pub(crate) parts: Parts,
    pub(crate) body: Body,
}

impl FromRequest<App> for Exchange {
    type Rejection = ExtensionRejection;

    async fn from_request(request: Request, app: &App) -> Result<Self, Self::Rejection> {
        let (mut parts, body) = request.into_parts();
        let ConnectInfo(line) = ConnectInfo::from_request_parts(&mut parts, app).await?;
        let App { options, tallies } = app.clone();
        Ok(Self { api: Api::of(parts.uri.path(), &parts.headers), options, tallies, line, parts, body })
    }
}

impl Exchange {
    /// Answers a JSON request with what `reply` makes of it.
    pub(crate) async fn answer<T: DeserializeOwned>(
        self,
        reply: impl FnOnce(T, &Stage) -> Result<(Script, Reply), Problem>,
    ) -> Response {
        let Self { api, options, tallies, line, parts, body } = self;
        let outcome = match read(body).await {
            Ok(bytes) => authenticate(api, &parts.headers).and_then(|()| parse(&bytes)).and_then(|request| {
                let credential = record::credential(&parts.headers).unwrap_or_default();
                let asking = parts.extensions.get().cloned();
                reply(request, &Stage { options, credential, asking, now: Instant::now(), tallies })
            }),
            Err(problem) => Err(problem),
        };
        match outcome {
            Ok((script, reply)) => fault::play(api, script, options, &line, reply).await,
            Err(problem) => problem.into_response(api),
        }
    }

    /// Answers a request whose body says nothing, such as a GET.
    pub(crate) fn answer_with(self, reply: impl FnOnce() -> Reply) -> Response {
        match authenticate(self.api, &self.parts.headers) {
            Ok(()) => reply().into_response(self.options.pace),
            Err(problem) => problem.into_response(self.api),
        }
    }

    /// Reads the body for the request log's sake.
    pub(crate) async fn drain(self) {
        drain(self.body).await;
    }
}

/// `GET /v1/models`, which the providers share.
pub(crate) async fn models(exchange: Exchange) -> Response {
    let api = exchange.api;
    let created = exchange.options.created;
    exchange.answer_with(|| match api {
        Api::Anthropic => anthropic::models(),
        Api::OpenAi => openai::models(created),
        Api::Gemini => gemini::models(),
    })
}

/// `GET /v1/models/{id}`
pub(crate) async fn model(Path(id): Path<String>, exchange: Exchange) -> Response {
    let api = exchange.api;
    let created = exchange.options.created;
    exchange.answer_with(|| match api {
        Api::Anthropic => anthropic::model(&id),
        Api::OpenAi => openai::model(&id, created),
        Api::Gemini => gemini::model(&id),
    })
}

pub(crate) async fn method_not_allowed(exchange: Exchange) -> Response {
    drain(exchange.body).await;
    let path = exchange.parts.uri.path().to_owned();
    Problem::MethodNotAllowed(exchange.parts.method, path).into_response(exchange.api)
}

/// Every path that has no route. The fault paths are among them because they work below any prefix.
pub(crate) async fn fault_or_not_found(exchange: Exchange) -> Response {
    let Exchange { api, options, line, parts, body, .. } = exchange;
    drain(body).await;
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or("");
    let fault = path.split_once("/_fault/").and_then(|(_, rest)| Fault::of_path(rest, query));
    match fault {
        Some(Ok(fault)) => fault::alone(fault, options, &line).await,
        Some(Err(detail)) => Problem::InvalidRequest(detail).into_response(Api::OpenAi),
        None => Problem::NotFound(parts.method, path.to_owned()).into_response(api),
    }
}

/// The credential must be there; which one it is does not matter, the request log has it.
pub(crate) fn authenticate(api: Api, headers: &HeaderMap) -> Result<(), Problem> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let credential = match api {
        Api::OpenAi => header("authorization").and_then(|value| value.strip_prefix("Bearer ")),
        Api::Anthropic => header("x-api-key"),
        Api::Gemini => header("x-goog-api-key"),
    };
    if credential.is_none_or(|value| value.trim().is_empty()) {
        return Err(Problem::MissingCredential);
    }
    if api == Api::Anthropic && header("anthropic-version").is_none() {
        return Err(Problem::MissingVersion);
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        if error.is_data() {
            Problem::InvalidRequest(error.to_string())
        } else {
            Problem::InvalidJson(error.to_string())
        }
    })
}

/// Read before the credential is checked, so that the request log has every body whole.
async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let mut frames = body.into_data_stream();
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|error| Problem::InvalidRequest(error.to_string()))?;
        if bytes.len() + frame.len() > MAX_JSON {
            return Err(Problem::BodyTooLarge);
        }
        bytes.extend_from_slice(&frame);
    }
    Ok(bytes)
}

async fn drain(body: Body) {
    let mut frames = body.into_data_stream();
    while let Some(Ok(_)) = frames.next().await {}
}
