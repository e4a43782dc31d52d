//! Requests and responses, as Rust sees them.

use js_sys::Promise;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use web_sys::{Request, Response};

#[wasm_bindgen(module = "/src/runtime/glue/exchange.js")]
extern "C" {
    /// What JavaScript calls while an exchange is under way: `asked` with the
    /// body of a request, `failed` with what stands against an answer, `opening` with
    /// the beginning of a stream, `answered` with status, content type and signs, `piece` with
    /// a part of the answer's body, `ended` with how, and the bytes in and out,
    /// `unanswered` with why there is nothing to pass on, and what `forward` was given.
    pub(in crate::runtime) fn install(
        asked: &JsValue,
        failed: &JsValue,
        opening: &JsValue,
        answered: &JsValue,
        broke: &JsValue,
        piece: &JsValue,
        ended: &JsValue,
        unanswered: &JsValue,
    );

    /// The form that [`crate::head::Head`] parses.
    pub(in crate::runtime) fn head(request: &Request) -> String;

    /// `headers` are lines: name, value, name, value...
    pub(in crate::runtime) fn answer(status: u16, headers: &str, body: &str) -> Response;

    /// Resolves to a `Response`. `exchange` is 0 where nobody
    /// asks how it ends. `length` is that of the request's body, or -1 where it
    /// is not declared: then no more than `max_body` bytes of it are sent.
    pub(in crate::runtime) fn forward(
        context: &JsValue,
        request: &Request,
        exchange: u32,
        api: u8,
        leg: &str,
        answer_headers: &str,
        length: f64,
        max_body: f64,
        is_body_read: bool,
    ) -> Promise;
}
