//! Clients that send requests one after the other and remember every failure.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

const CLIENTS: usize = 4;
const BETWEEN_REQUESTS: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Traffic {
    route: watch::Sender<Route>,
    clients: Arc<[Client; CLIENTS]>,
    failures: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Route {
    url: String,
    tokens: Vec<String>,
    /// Grows with each change.
    number: u64,
}

#[derive(Default)]
struct Client {
    answered: AtomicU64,
    /// The route of the last answer.
    route: AtomicU64,
}

impl Traffic {
    pub(crate) fn start(url: String, token: String) -> Self {
        let (route, routes) = watch::channel(Route { url, tokens: vec![token], number: 0 });
        let clients: Arc<[Client; CLIENTS]> = Arc::default();
        let failures = Arc::<Mutex<Vec<String>>>::default();
        let mut tasks = JoinSet::new();
        for number in 0..CLIENTS {
            tasks.spawn(run(number, routes.clone(), Arc::clone(&clients), Arc::clone(&failures)));
        }
        Self { route, clients, failures, _tasks: tasks }
    }

    /// Another token, beside those there are.
    pub(crate) fn add(&self, token: String) {
        self.change(|route| route.tokens.push(token));
    }

    /// Another token, in place of those there are; returns when they are no longer used.
    pub(crate) async fn only(&self, token: String) {
        let number = self.change(|route| route.tokens = vec![token]);
        self.arrived(number).await;
    }

    /// Another edge; returns when the one before answers nobody any more.
    pub(crate) async fn go_to(&self, url: String) {
        let number = self.change(|route| route.url = url);
        self.arrived(number).await;
    }

    /// Returns when each client has had a few more answers; all that there were are good.
    pub(crate) async fn flows(&self) {
        let before: Vec<u64> =
            self.clients.iter().map(|client| client.answered.load(Ordering::Relaxed)).collect();
        self.until(|at, client| client.answered.load(Ordering::Relaxed) >= before[at] + 5).await;
        let failures = self.failures.lock().unwrap();
        assert!(
            failures.is_empty(),
            "{} requests failed: {:?}",
            failures.len(),
            &failures[..failures.len().min(5)]
        );
    }

    fn change(&self, change: impl FnOnce(&mut Route)) -> u64 {
        self.route.send_modify(|route| {
            change(route);
            route.number += 1;
        });
        self.route.borrow().number
    }

    async fn arrived(&self, number: u64) {
        self.until(|_, client| client.route.load(Ordering::Relaxed) >= number).await;
    }

    async fn until(&self, holds: impl Fn(usize, &Client) -> bool) {
        let all = async {
            while !self.clients.iter().enumerate().all(|(at, client)| holds(at, client)) {
                tokio::time::sleep(BETWEEN_REQUESTS).await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("the traffic goes on");
    }
}

async fn run(
    number: usize,
    routes: watch::Receiver<Route>,
    clients: Arc<[Client; CLIENTS]>,
    failures: Arc<Mutex<Vec<String>>>,
) {
    let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    for turn in number.. {
        let route = routes.borrow().clone();
        let token = &route.tokens[turn % route.tokens.len()];
        let answer = http.get(&route.url).bearer_auth(token).send().await;
        let failure = match answer {
            Ok(answer) if answer.status() == 200 => answer.bytes().await.err().map(|error| error.to_string()),
            Ok(answer) => Some(format!("{} {:?}", answer.status(), answer.headers().get("x-latchkey-error"))),
            Err(error) => Some(error.to_string()),
        };
        failures.lock().unwrap().extend(failure);
        clients[number].route.store(route.number, Ordering::Relaxed);
        clients[number].answered.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(BETWEEN_REQUESTS).await;
    }
}
