//! The edge's platform in virtual time, which goes on only when all wait: what
//! a request, and what it left to the background, reads and sleeps.

use crate::clock::{self, SECOND, Time};
use crate::view::{Answer, Location, Outcome, View};
use edge::load::Source;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

type Work = Pin<Box<dyn Future<Output = ()>>>;

pub(crate) struct Runtime {
    pub(crate) view: RefCell<View>,
    wakes: RefCell<BTreeSet<Time>>,
    background: RefCell<Vec<Work>>,
}

/// What one request reads through.
#[derive(Clone)]
pub(crate) struct Reads {
    runtime: Rc<Runtime>,
    location: Location,
    met: Rc<Met>,
}

/// What a request's reads met that is KV's fault.
#[derive(Debug, Default)]
pub(crate) struct Met {
    /// Something that any request may be refused with 503 for.
    pub(crate) trouble: Cell<bool>,
    /// Something that an isolate without a snapshot may do so for.
    pub(crate) manifest_trouble: Cell<bool>,
    /// A fresh token's record was there, and KV did not show it.
    pub(crate) hidden_fresh: Cell<bool>,
}

impl Runtime {
    pub(crate) fn new(view: View) -> Rc<Self> {
        let view = RefCell::new(view);
        Rc::new(Self { view, wakes: RefCell::default(), background: RefCell::default() })
    }

    pub(crate) fn reads(self: &Rc<Self>, location: Location) -> Reads {
        Reads { runtime: Rc::clone(self), location, met: Rc::default() }
    }

    /// Runs `work`, and what is in the background beside it, until it is done.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
                return done;
            }
            if !self.poll_background() {
                let next = self.next_wake().expect("all wait, and nobody for the time");
                clock::go_to(next);
            }
        }
    }

    /// Lets time pass, and does at its time what is in the background.
    pub(crate) fn pass_until(&self, at: Time) {
        loop {
            while self.poll_background() {}
            match self.next_wake().filter(|next| *next <= at) {
                Some(next) => clock::go_to(next),
                None => break,
            }
        }
        clock::go_to(at);
    }

    fn next_wake(&self) -> Option<Time> {
        let mut wakes = self.wakes.borrow_mut();
        *wakes = wakes.split_off(&(clock::now() + 1));
        wakes.first().copied()
    }

    /// Whether something was done.
    fn poll_background(&self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let mut works = self.background.take();
        let before = works.len();
        works.retain_mut(|work| work.as_mut().poll(&mut context).is_pending());
        let is_done = works.len() < before;
        self.background.borrow_mut().splice(0..0, works);
        is_done
    }
}

impl Reads {
    pub(crate) fn met(&self) -> &Met {
        &self.met
    }
}

impl Source for Reads {
    fn now(&self) -> Time {
        clock::now()
    }

    async fn sleep(&self, ms: u64) {
        let at = clock::now() + ms;
        self.runtime.wakes.borrow_mut().insert(at);
        poll_fn(|_| if clock::now() >= at { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    async fn read(&self, key: &str, cache_ttl: u64) -> Result<Option<Vec<u8>>, String> {
        let answer =
            self.runtime.view.borrow_mut().read(self.location, key, cache_ttl * SECOND, clock::now());
        let Answer { outcome, latency, is_excuse } = answer;
        let trouble =
            if key.starts_with("manifest/") { &self.met.manifest_trouble } else { &self.met.trouble };
        trouble.set(trouble.get() || is_excuse);
        self.sleep(latency).await;
        match outcome {
            Outcome::Value(value) => {
                let is_hidden = value.is_none() && is_excuse && key.starts_with("fresh/");
                self.met.hidden_fresh.set(self.met.hidden_fresh.get() || is_hidden);
                Ok(value.map(|value| value.to_vec()))
            }
            Outcome::Fails => Err("the test says so".to_owned()),
            Outcome::Hangs => std::future::pending().await,
        }
    }

    async fn read_copy(&self, name: &str) -> Option<Vec<u8>> {
        self.sleep(1).await;
        let copy = self.runtime.view.borrow().copy(self.location, name, clock::now());
        copy.map(|content| content.to_vec())
    }

    fn keep_copy(&self, name: &str, content: &[u8], max_age_secs: u64) {
        let until = clock::now() + max_age_secs * SECOND;
        self.runtime.view.borrow_mut().keep_copy(self.location, name, content, until);
    }

    fn in_background(&self, work: impl Future<Output = ()> + 'static) {
        self.runtime.background.borrow_mut().push(Box::pin(work));
    }

    fn report(&self, _problem: &str) {}
}
