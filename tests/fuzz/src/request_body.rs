//! The body of a request, and the same with usage asked for.

use crate::memory::bounded;
use edge::observe::request::{edited, place_of_model, read, usage_asked};
use serde_json::{Value, json};
use shared::event::MAX_TEXT_LEN;
use shared::provider::Api;

pub fn run(data: &[u8]) -> bool {
    let asked = bounded(data.len(), || read(Api::OpenAi, "/v1/chat/completions", data));
    assert!(asked.model.as_ref().is_none_or(|model| model.len() <= MAX_TEXT_LEN));
    let edited = bounded(data.len(), || usage_asked(data).map(|edit| edited(data, &[edit])));
    let place = bounded(data.len(), || place_of_model(data));
    if let Ok(Value::Object(body)) = serde_json::from_slice(data) {
        assert_eq!(asked.is_stream, body.get("stream") == Some(&json!(true)));
        let model = body.get("model").and_then(Value::as_str).map(|model| model.replace('\0', ""));
        let is_short = model.as_ref().is_none_or(|model| model.len() < MAX_TEXT_LEN / 4);
        // An empty or repeated name is read in one way or another.
        assert!(!is_short || asked.model.is_none() || model.is_none() || asked.model == model);
        if let (Some((from, to)), Some(model)) = (place, body.get("model").and_then(Value::as_str)) {
            assert_eq!(serde_json::from_slice::<String>(&data[from..to]).unwrap(), model);
        }
        if let Some(edited) = &edited {
            let mut body = Value::Object(body);
            if body["stream_options"].is_null() {
                body["stream_options"] = json!({});
            }
            body["stream_options"]["include_usage"] = json!(true);
            assert_eq!(serde_json::from_slice::<Value>(edited).unwrap(), body);
        }
    }
    let Some(edited) = edited else { return false };
    assert!(read(Api::OpenAi, "/v1/chat/completions", &edited).asks_usage);
    assert_eq!(usage_asked(&edited), None);
    true
}
