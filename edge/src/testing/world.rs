//! A [`Source`] whose time goes on only when all wait.

use super::{Compiled, NOW, signer};
use crate::load::Source;
use shared::id::UnixMs;
use shared::snapshot::MANIFEST_KEY;
use shared::snapshot::manifest::Manifest;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    Fail,
    Hang,
    /// Answers after so many milliseconds.
    Slow(u64),
}

/// KV and the location's cache, and the time, which goes on when all wait.
#[derive(Clone, Debug)]
pub(crate) struct World(Rc<State>);

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) kv: RefCell<BTreeMap<String, Vec<u8>>>,
    pub(crate) copies: RefCell<BTreeMap<String, Vec<u8>>>,
    pub(crate) fault: Cell<Fault>,
    pub(crate) cache_fault: Cell<Fault>,
    /// Keys that KV was asked for.
    pub(crate) reads: RefCell<Vec<String>>,
    now: Cell<UnixMs>,
    wakes: RefCell<Vec<(UnixMs, Waker)>>,
    background: RefCell<Vec<Background>>,
}

struct Background(Pin<Box<dyn Future<Output = ()>>>);

impl std::fmt::Debug for Background {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Background")
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self(Rc::new(State {
            kv: RefCell::default(),
            copies: RefCell::default(),
            fault: Cell::default(),
            cache_fault: Cell::default(),
            reads: RefCell::default(),
            now: Cell::new(NOW),
            wakes: RefCell::default(),
            background: RefCell::default(),
        }))
    }

    /// Puts the objects of `compiled` and a manifest that names them into KV.
    pub(crate) fn publish(&self, manifest: &Manifest, compiled: &Compiled) {
        let mut kv = self.kv.borrow_mut();
        kv.insert(MANIFEST_KEY.to_owned(), manifest.encode(&signer()).unwrap());
        for (key, (_, content)) in &compiled.contents {
            kv.insert(key.clone(), content.clone());
        }
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.now.set(self.now.get() + ms);
    }

    /// Runs `work`, and what it leaves to the background, until it is done.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
                return done;
            }
            if !self.poll_background() {
                self.skip();
            }
        }
    }

    /// To the time for which somebody waits.
    fn skip(&self) {
        let next = self.wakes.borrow().iter().map(|(at, _)| *at).min();
        let now = self.now.get().max(next.expect("all wait, and nobody for the time"));
        self.now.set(now);
        let wakes = self.wakes.take();
        let (due, later): (Vec<_>, Vec<_>) = wakes.into_iter().partition(|(at, _)| *at <= now);
        self.wakes.replace(later);
        for (_, waker) in due {
            waker.wake();
        }
    }

    /// Runs what is in the background until nothing is left.
    pub(crate) fn finish(&self) {
        self.run(poll_fn(|_| {
            if self.0.background.borrow().is_empty() { Poll::Ready(()) } else { Poll::Pending }
        }));
    }

    /// Whether something was done.
    fn poll_background(&self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let running = self.background.take();
        let before = running.len();
        let still: Vec<_> = running
            .into_iter()
            .filter_map(|mut work| work.0.as_mut().poll(&mut context).is_pending().then_some(work))
            .collect();
        let is_done = still.len() < before;
        self.background.borrow_mut().splice(0..0, still);
        is_done
    }
}

impl std::ops::Deref for World {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl Source for World {
    fn now(&self) -> UnixMs {
        self.now.get()
    }

    async fn sleep(&self, ms: u64) {
        let at = self.now.get() + ms;
        poll_fn(|context| {
            if self.now.get() >= at {
                return Poll::Ready(());
            }
            self.wakes.borrow_mut().push((at, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    async fn read(&self, key: &str, _cache_ttl: u64) -> Result<Option<Vec<u8>>, String> {
        self.reads.borrow_mut().push(key.to_owned());
        // As a real one, it never answers at once.
        self.sleep(1).await;
        match self.fault.get() {
            Fault::None => Ok(self.kv.borrow().get(key).cloned()),
            Fault::Fail => Err("the test says so".to_owned()),
            Fault::Hang => std::future::pending().await,
            Fault::Slow(ms) => {
                self.sleep(ms).await;
                Ok(self.kv.borrow().get(key).cloned())
            }
        }
    }

    async fn read_copy(&self, name: &str) -> Option<Vec<u8>> {
        self.sleep(1).await;
        match self.cache_fault.get() {
            Fault::None | Fault::Slow(_) => self.copies.borrow().get(name).cloned(),
            Fault::Fail => None,
            Fault::Hang => std::future::pending().await,
        }
    }

    fn keep_copy(&self, name: &str, content: &[u8], _max_age_secs: u64) {
        if self.cache_fault.get() == Fault::None {
            self.copies.borrow_mut().insert(name.to_owned(), content.to_vec());
        }
    }

    fn in_background(&self, work: impl Future<Output = ()> + 'static) {
        self.background.borrow_mut().push(Background(Box::pin(work)));
    }

    fn report(&self, _problem: &str) {}
}
