//! The queue of events, as Rust sees it.

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

#[wasm_bindgen(module = "/src/runtime/glue/queue.js")]
extern "C" {
    /// Rejects when the queue does not take it.
    pub(in crate::runtime) fn send(queue: &JsValue, text: &str) -> Promise;

    pub(in crate::runtime) fn encode(text: &str) -> Uint8Array;

    /// Resolves to the SHA-256, as an `ArrayBuffer`.
    pub(in crate::runtime) fn digest(body: &Uint8Array) -> Promise;

    pub(in crate::runtime) fn attempts(batch: &Batch) -> Vec<u32>;

    /// The lines of the messages from `from` to before `to`, as one body.
    pub(in crate::runtime) fn bodies(batch: &Batch, from: usize, to: usize) -> Uint8Array;

    pub(in crate::runtime) fn acknowledge(batch: &Batch, from: usize, to: usize);

    /// Each after so many seconds.
    pub(in crate::runtime) fn retry(batch: &Batch, from: usize, delays: &[u32]);

    /// Resolves to status and `x-latchkey-time`, a line each. `headers` are lines.
    pub(in crate::runtime) fn post(url: &str, headers: &str, body: &Uint8Array, deadline_ms: u32) -> Promise;
}

#[wasm_bindgen]
extern "C" {
    /// Messages that a queue delivers.
    pub type Batch;

    /// The queue's name.
    #[wasm_bindgen(method, getter)]
    pub fn queue(this: &Batch) -> String;
}
