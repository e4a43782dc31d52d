//! `example-upstream`: the stand-in as a process.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use example_upstream::{Options, serve_until};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A deterministic stand-in for the `OpenAI`, Anthropic and Gemini APIs.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Address to listen on; port 0 takes a free one and prints it.
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Pause between two chunks of a streamed answer, in milliseconds.
    #[arg(long, default_value_t = 20)]
    pace_ms: u64,
    /// Unix seconds that answers carry as their creation time.
    #[arg(long, default_value_t = Options::default().created)]
    created: u64,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let args = Args::parse();
    let listener = TcpListener::bind(args.listen).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    announce(listener.local_addr()?)?;
    let options = Options { pace: Duration::from_millis(args.pace_ms), created: args.created };
    serve_until(listener, options, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await
}

/// The line a starter reads to learn the port; flushed, because a pipe is block-buffered.
fn announce(address: SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on http://{address}")?;
    stdout.flush()
}
