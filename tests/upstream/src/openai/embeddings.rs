//! `POST /v1/embeddings`: unit vectors made of hashes, so that equal inputs are close and others
//! are not.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::answer::tokens;
use crate::error::Problem;
use crate::exchange::Exchange;
use crate::reply::{Reply, Told};
use crate::script::{Asked, Script, UsageTold};
use crate::stage::Stage;

/// As `text-embedding-3-small`.
const DEFAULT_DIMENSIONS: usize = 1_536;
const MAX_DIMENSIONS: usize = 4_096;

#[derive(Deserialize)]
struct Request {
    model: Asked,
    input: Input,
    encoding_format: Option<Encoding>,
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Float,
    Base64,
}

/// One text to embed: its bytes, and the tokens it counts for.
struct Item {
    bytes: Vec<u8>,
    tokens: usize,
}

pub(crate) async fn embeddings(exchange: Exchange) -> Response {
    exchange.answer(reply).await
}

fn reply(request: Request, stage: &Stage) -> Result<(Script, Reply), Problem> {
    let Request { model, input, encoding_format, dimensions } = request;
    let model = stage.admit(model, &[]);
    let dimensions = dimensions.unwrap_or(DEFAULT_DIMENSIONS);
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        let detail = format!("dimensions must be 1 to {MAX_DIMENSIONS}");
        return Err(Problem::InvalidRequest(detail));
    }
    let encoding = encoding_format.unwrap_or(Encoding::Float);
    let items = items(input);
    let data: Vec<Value> = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let embedding = encode(&vector(&item.bytes, dimensions), encoding);
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let tokens: usize = items.iter().map(|item| item.tokens).sum();
    let mut body = json!({
        "object": "list",
        "data": data,
        "model": model.name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    });
    let mut told = Told { input: Some(tokens), output: None };
    if model.script.usage == UsageTold::None {
        body["usage"] = Value::Null;
        told = Told::NOTHING;
    }
    Ok((model.script, Reply::Json(body, told)))
}

fn items(input: Input) -> Vec<Item> {
    let text = |text: String| Item { tokens: tokens(&text), bytes: text.into_bytes() };
    let list = |list: Vec<u32>| Item {
        tokens: list.len(),
        bytes: list.into_iter().flat_map(u32::to_le_bytes).collect(),
    };
    match input {
        Input::Text(one) => vec![text(one)],
        Input::Texts(many) => many.into_iter().map(text).collect(),
        Input::Tokens(one) => vec![list(one)],
        Input::TokenLists(many) => many.into_iter().map(list).collect(),
    }
}

/// The input is hashed once and the digest stretched by a counter, 16 numbers a block.
fn vector(bytes: &[u8], dimensions: usize) -> Vec<f32> {
    let seed = Sha256::digest(bytes);
    let blocks = (0_u32..)
        .map(|counter| Sha256::new().chain_update(seed).chain_update(counter.to_le_bytes()).finalize());
    let mut vector: Vec<f32> = blocks
        .flat_map(|block| {
            let (pairs, _) = block.as_chunks::<2>();
            pairs.iter().map(|pair| f32::from(i16::from_le_bytes(*pair))).collect::<Vec<f32>>()
        })
        .take(dimensions)
        .collect();
    let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if norm > 0.0 {
        for value in &mut vector {
            *value /= norm;
        }
    }
    vector
}

/// Base64 of little-endian 32-bit floats is what the SDKs ask for unless told otherwise.
fn encode(vector: &[f32], encoding: Encoding) -> Value {
    match encoding {
        Encoding::Float => json!(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            json!(STANDARD.encode(bytes))
        }
    }
}
