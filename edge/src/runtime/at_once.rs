//! Work that seldom has to wait.

use futures_util::FutureExt;
use futures_util::task::AtomicWaker;
use js_sys::futures::future_to_promise;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use wasm_bindgen::JsValue;

/// Its outcome, or a promise of that if it waits for something. A promise, and
/// the task that keeps it, cost more than all that a warm isolate decides.
pub(super) fn run(work: impl Future<Output = JsValue> + 'static) -> JsValue {
    let mut work = Box::pin(work);
    let later = Arc::new(Later::default());
    let waker = later.clone().into();
    if let Poll::Ready(outcome) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
        return outcome;
    }
    // What it waits for keeps the first waker; so that one passes on to the task's.
    let rest = poll_fn(move |task| {
        later.0.register(task.waker());
        work.as_mut().poll(&mut Context::from_waker(&waker))
    });
    future_to_promise(rest.map(Ok)).into()
}

#[derive(Default)]
struct Later(AtomicWaker);

impl Wake for Later {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }
}
