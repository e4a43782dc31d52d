//! The JavaScript side of the runtime, as Rust sees it.

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::{Request, Response};

#[wasm_bindgen(module = "/src/runtime/glue.js")]
extern "C" {
    /// The form that [`crate::head::Head`] parses.
    pub(super) fn head(request: &Request) -> String;

    /// `headers` are lines: name, value, name, value...
    pub(super) fn answer(status: u16, headers: &str, body: &str) -> Response;

    /// Resolves to a `Uint8Array` of 32 bytes.
    pub(super) fn sha256(content: &[u8]) -> Promise;

    /// Resolves to a `Uint8Array`, or null.
    #[wasm_bindgen(js_name = readCopy)]
    pub(super) fn read_copy(url: &str) -> Promise;

    #[wasm_bindgen(js_name = keepCopy)]
    pub(super) fn keep_copy(url: &str, content: &Uint8Array, max_age_secs: &str) -> Promise;

    /// Resolves to a `Response`, or one of the words that [`super::forward`] knows.
    /// `length` is that of the body, or -1 where it is not declared: then no
    /// more than `max_body` bytes of it are sent.
    pub(super) fn forward(
        request: &Request,
        url: &str,
        withheld: &str,
        headers: &str,
        answer_withheld: &str,
        answer_headers: &str,
        first_byte_ms: u32,
        length: f64,
        max_body: f64,
    ) -> Promise;
}
