//! What the snapshot needs of JavaScript, as Rust sees it.

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(module = "/src/runtime/glue/copies.js")]
extern "C" {
    /// Resolves to a `Uint8Array` of 32 bytes.
    pub(in crate::runtime) fn sha256(content: &[u8]) -> Promise;

    /// Resolves to a `Uint8Array`, or null.
    #[wasm_bindgen(js_name = readCopy)]
    pub(in crate::runtime) fn read_copy(url: &str) -> Promise;

    #[wasm_bindgen(js_name = keepCopy)]
    pub(in crate::runtime) fn keep_copy(url: &str, content: &Uint8Array, max_age_secs: &str) -> Promise;
}
