//! Serves until told to stop, then finishes what was begun.

use axum::Router;
use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long requests in flight may take to finish.
const DRAIN: Duration = Duration::from_secs(30);

/// Answers requests until `stop` ends and those in flight are finished or out of time.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (stopped, mut stopping) = watch::channel(false);
    let stop = async move {
        stop.await;
        tracing::info!("stopping: no new connections; requests in flight have 30 seconds");
        stopped.send(true).ok();
    };
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serve = axum::serve(listener, service).with_graceful_shutdown(stop).into_future();
    let deadline = async {
        stopping.wait_for(|stopped| *stopped).await.ok();
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = serve => result,
        () = deadline => {
            tracing::warn!("some requests did not finish in time and were cut");
            Ok(())
        }
    }
}
