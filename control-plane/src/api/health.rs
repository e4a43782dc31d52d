//! `/livez`, `/readyz`

use super::Api;
use super::auth::Anyone;
use crate::events::Durability;
use crate::events::log::LogError;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use std::future::Future;
use std::time::Duration;
use utoipa::ToSchema;

/// Each check answers within it, or counts as failed.
const PATIENCE: Duration = Duration::from_secs(3);

/// A change that waits longer to be published is a fault, not a queue.
const LONGEST_LAG_MS: u64 = 30_000;

#[derive(Serialize, ToSchema)]
pub(super) struct Live {
    #[schema(example = "ok")]
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    /// `ok` or `failing`.
    status: &'static str,
    database: Check,
    kv: Check,
    publisher: Check,
    event_log: Check,
    /// What the event log may lose of what it acknowledged, and what to set; none if it does not answer.
    event_log_durability: Option<String>,
}

/// `ok`, or what fails and what to do. Reasons are in the log: this page is open to all.
#[derive(Serialize, ToSchema)]
struct Check(String);

/// Whether the process runs.
#[utoipa::path(get, path = "/livez", tag = "service", security(()), responses((status = 200, body = Live)))]
pub(super) async fn live(_: Anyone) -> Json<Live> {
    Json(Live { status: "ok" })
}

/// Whether it can do its work.
#[utoipa::path(get, path = "/readyz", tag = "service", security(()),
    responses((status = 200, body = Ready), (status = 503, body = Ready)))]
pub(super) async fn ready(_: Anyone, State(api): State<Api>) -> (StatusCode, Json<Ready>) {
    let (database, kv, publisher, (event_log, durability)) =
        tokio::join!(database(&api), kv(&api), publisher(&api), event_log(&api));
    let is_ready = [&database, &kv, &publisher, &event_log].iter().all(|check| check.0 == "ok");
    let (code, status) =
        if is_ready { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "failing") };
    let event_log_durability = durability.map(|durability| durability.to_string());
    (code, Json(Ready { status, database, kv, publisher, event_log, event_log_durability }))
}

async fn database(api: &Api) -> Check {
    let advice = "the database does not answer; check DATABASE_URL, its disk and its permissions";
    check(async { api.store().ping().await.map_err(|error| error.to_string()) }, advice).await
}

async fn kv(api: &Api) -> Check {
    let advice = "KV cannot be reached; check KV_API_BASE, KV_NAMESPACE_ID and CLOUDFLARE_API_TOKEN. \
                  Edges go on with the snapshot they have";
    check(api.domain.snapshot.kv_ready(), advice).await
}

async fn publisher(api: &Api) -> Check {
    let advice =
        "changes wait for more than 30 seconds to be published; if KV is reachable, the log says why";
    let lag = async {
        let status = api.domain.snapshot.status().await.map_err(|error| error.to_string())?;
        if status.lag_ms > LONGEST_LAG_MS { Err(format!("lag is {} ms", status.lag_ms)) } else { Ok(()) }
    };
    check(lag, advice).await
}

/// A setting that may lose something is told; it is a failure only with `EVENT_LOG_STRICT`.
async fn event_log(api: &Api) -> (Check, Option<Durability>) {
    let advice = "the event log takes nothing in, or may lose it although EVENT_LOG_STRICT is set; \
                  check DATABASE_URL, or REDIS_URL and Redis's settings. Events wait at the edge";
    let mut durability = None;
    let look = async {
        match api.ingest.log().check().await {
            Ok(found) => {
                durability = Some(found);
                Ok(())
            }
            Err(error) => {
                let message = error.to_string();
                if let LogError::Lossy(found) = error {
                    durability = Some(found);
                }
                Err(message)
            }
        }
    };
    (check(look, advice).await, durability)
}

async fn check(run: impl Future<Output = Result<(), String>>, advice: &str) -> Check {
    let failure = match tokio::time::timeout(PATIENCE, run).await {
        Ok(Ok(())) => return Check("ok".to_owned()),
        Ok(Err(failure)) => failure,
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!(failure, "{advice}");
    Check(advice.to_owned())
}
