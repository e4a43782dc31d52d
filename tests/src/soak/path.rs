//! The way from workers to control planes, with a balancer before them: each
//! connection goes to one that lives. On demand it is bad: pieces are late, and
//! connections end before a request is through, or its answer.

use super::dice::Dice;
use super::fleet::Fleet;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Of the pieces that pass, in percent.
const CUT: usize = 6;
const LATE: usize = 15;
const HOW_LATE: Range<u64> = 20..800;
const PIECE: usize = 64 * 1024;

/// Ends when dropped.
#[derive(Debug)]
pub struct Path {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

/// What did not get through, and what was late.
#[derive(Clone, Copy, Debug)]
pub struct Losses {
    pub requests: usize,
    pub answers: usize,
    pub late: usize,
}

#[derive(Debug)]
struct State {
    fleet: Arc<Fleet>,
    dice: Mutex<Dice>,
    is_bad: AtomicBool,
    requests: AtomicUsize,
    answers: AtomicUsize,
    late: AtomicUsize,
}

impl Path {
    pub async fn start(fleet: Arc<Fleet>, dice: Dice) -> Self {
        let state = Arc::new(State {
            fleet,
            dice: Mutex::new(dice),
            is_bad: AtomicBool::default(),
            requests: AtomicUsize::default(),
            answers: AtomicUsize::default(),
            late: AtomicUsize::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let carrying = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(carry(Arc::clone(&carrying), client));
            }
        });
        Self { address, state, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set_bad(&self, is_bad: bool) {
        self.state.is_bad.store(is_bad, Ordering::Relaxed);
    }

    pub fn losses(&self) -> Losses {
        let [requests, answers, late] = [&self.state.requests, &self.state.answers, &self.state.late]
            .map(|count| count.load(Ordering::Relaxed));
        Losses { requests, answers, late }
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    /// Of nobody, the connection ends.
    fn choose(&self) -> Option<String> {
        let awake = self.fleet.awake();
        let mut dice = self.dice.lock().unwrap();
        dice.pick(awake.iter()).map(|caller| caller.address().to_owned())
    }

    /// None of a piece that does not get through.
    fn delay(&self) -> Option<Duration> {
        if !self.is_bad.load(Ordering::Relaxed) {
            return Some(Duration::ZERO);
        }
        let mut dice = self.dice.lock().unwrap();
        if dice.percent(CUT) {
            return None;
        }
        if dice.percent(LATE) {
            self.late.fetch_add(1, Ordering::Relaxed);
            return Some(dice.millis(HOW_LATE));
        }
        Some(Duration::ZERO)
    }
}

async fn carry(state: Arc<State>, mut client: TcpStream) {
    let Some(address) = state.choose() else { return };
    let Ok(mut server) = TcpStream::connect(address).await else { return };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    // Where one way ends, the other does.
    tokio::select! {
        () = pump(&state, &state.requests, from_client, to_server) => {}
        () = pump(&state, &state.answers, from_server, to_client) => {}
    }
}

async fn pump(
    state: &State,
    lost: &AtomicUsize,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) {
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let Some(delay) = state.delay() else {
            lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        tokio::time::sleep(delay).await;
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
