//! `GET /v1/models` and `GET /v1/models/{id}`

use serde_json::{Value, json};

use crate::reply::Reply;

const MODELS: [&str; 3] = ["gpt-example", "gpt-example-mini", "text-embedding-example"];

pub(crate) fn models(created: u64) -> Reply {
    let data: Vec<Value> = MODELS.iter().map(|id| object(id, created)).collect();
    Reply::json(json!({"object": "list", "data": data}))
}

/// Any name is a model here.
pub(crate) fn model(id: &str, created: u64) -> Reply {
    Reply::json(object(id, created))
}

fn object(id: &str, created: u64) -> Value {
    json!({"id": id, "object": "model", "created": created, "owned_by": "example-upstream"})
}
