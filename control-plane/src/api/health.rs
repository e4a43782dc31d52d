//! `/livez`, `/readyz`

use super::Api;
use super::auth::Anyone;
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
    let (database, kv, publisher) = tokio::join!(database(&api), kv(&api), publisher(&api));
    let is_ready = [&database, &kv, &publisher].iter().all(|check| check.0 == "ok");
    let (code, status) =
        if is_ready { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "failing") };
    (code, Json(Ready { status, database, kv, publisher }))
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

async fn check(run: impl Future<Output = Result<(), String>>, advice: &str) -> Check {
    let failure = match tokio::time::timeout(PATIENCE, run).await {
        Ok(Ok(())) => return Check("ok".to_owned()),
        Ok(Err(failure)) => failure,
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!(failure, "{advice}");
    Check(advice.to_owned())
}
