//! The route table, and the loop that serves it.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::record::RequestLog;
use crate::tally::Tallies;
use crate::wire::{Line, Wires};
use crate::{anthropic, control, exchange, gemini, openai, record};

/// How long open exchanges may go on after a stop was asked for: a silent or slow one must not
/// keep the process alive.
const GRACE: Duration = Duration::from_secs(2);

/// What the answers depend on besides the request.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Pause between two chunks of a streamed answer; the model option `pace` overrides it.
    pub pace: Duration,
    /// Unix seconds that answers carry as their creation time: fixed, so that an answer depends on
    /// nothing but its request.
    pub created: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { pace: Duration::from_millis(20), created: 1_700_000_000 }
    }
}

/// What outlives a request.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) options: Options,
    pub(crate) tallies: Tallies,
}

/// Every route. The control endpoints are not recorded, or reading the log would fill it.
fn router(options: Options) -> Router {
    let log = RequestLog::default();
    let tallies = Tallies::default();
    let providers = Router::new()
        .route("/v1/chat/completions", post(openai::chat))
        .route("/v1/completions", post(openai::completions))
        .route("/v1/responses", post(openai::responses))
        .route("/v1/embeddings", post(openai::embeddings))
        .route("/v1/audio/transcriptions", post(openai::upload))
        .route("/v1/files", post(openai::upload))
        .route("/v1/models", get(exchange::models))
        .route("/v1/models/{id}", get(exchange::model).post(gemini::generate))
        .route("/v1/messages", post(anthropic::messages))
        .route("/v1beta/models", get(exchange::models))
        .route("/v1beta/models/{model}", get(exchange::model).post(gemini::generate))
        .route(control::REDIRECTED, any(control::redirected))
        .method_not_allowed_fallback(exchange::method_not_allowed)
        .fallback(exchange::fault_or_not_found)
        .with_state(App { options, tallies: tallies.clone() })
        .layer(from_fn_with_state(log.clone(), record::layer));
    control::router(log, tallies).merge(providers)
}

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, options: Options) -> io::Result<()> {
    serve_until(listener, options, std::future::pending()).await
}

/// Serves until `stop` resolves; exchanges that are still open then have two seconds to end.
pub async fn serve_until(
    listener: TcpListener,
    options: Options,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopping, stopped) = oneshot::channel();
    let service = router(options).into_make_service_with_connect_info::<Line>();
    let server = axum::serve(Wires(listener), service).with_graceful_shutdown(async move {
        stop.await;
        // The receiver is gone only when nobody waits for the deadline any more.
        let _ = stopping.send(());
    });
    let deadline = async move {
        let _ = stopped.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = server => ended,
        () = deadline => Ok(()),
    }
}
