//! A worker that swaps the key and passes the answer on as Rust does by itself:
//! every chunk of it through [`Response::from_stream`]. It checks nothing, and
//! leaves the other headers as they are.

use wasm_bindgen::JsCast;
use worker::{Context, Env, Fetch, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    let path = request.path();
    let url = format!("{}{}", env.var("UPSTREAM")?, path.strip_prefix("/openai").unwrap_or(&path));
    let outgoing = web_sys::Request::new_with_str_and_init(&url, request.inner().unchecked_ref())?;
    outgoing.headers().set("authorization", &env.var("KEY")?.to_string())?;
    let mut upstream = Fetch::Request(outgoing.into()).send().await?;
    let headers = upstream.headers().clone();
    Ok(Response::from_stream(upstream.stream()?)?.with_headers(headers))
}
