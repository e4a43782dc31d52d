//! `latchkey serve`

use super::{Failure, block_on, environment, print};
use crate::app::App;
use crate::config::Config;
use crate::telemetry;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) fn run() -> Result<(), Failure> {
    let config = Config::read(&environment)?;
    block_on(observed(config))?
}

async fn observed(mut config: Config) -> Result<(), Failure> {
    let telemetry = telemetry::start(&config.log, config.traces.take()).map_err(Failure::new)?;
    let result = serve(config).await;
    telemetry.end().await;
    result
}

async fn serve(config: Config) -> Result<(), Failure> {
    let terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
    let interrupt = signal(SignalKind::interrupt()).map_err(Failure::new)?;
    let app = App::start(config).await.map_err(Failure::new)?;
    let address = app.local_addr().map_err(Failure::new)?;
    // The first line of output: who started it with port 0 reads the port here.
    print(format_args!("listening on http://{address}"));
    tracing::info!("listening on http://{address}");
    app.serve(either(terminate, interrupt)).await.map_err(Failure::new)
}

async fn either(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
