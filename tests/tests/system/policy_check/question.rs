//! A random request, for the check and for the edge.

use super::setting::{NAMED, Token};
use latchkey_tests::edge::call::client;
use latchkey_tests::soak::dice::Dice;
use latchkey_tests::workerd::Workerd;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

const JSON: &str = "application/json";
const FORM: &str = "multipart/form-data; boundary=x";

#[derive(Debug)]
pub(crate) struct Question {
    token: Token,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, &'static str)>,
    address: Option<&'static str>,
    country: Option<&'static str>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    None,
    /// Sent as JSON, which the check supposes.
    Json(Value),
    Text(String),
}

impl Question {
    pub(crate) fn roll(dice: &mut Dice, token: Token) -> Self {
        let model = model(dice);
        let path = path(dice, model);
        let usual = if path.contains("/models") && !path.contains(':') { "GET" } else { "POST" };
        let method = usually(dice, 90, &[usual], &["GET", "POST", "PUT", "DELETE"]);
        let body = if method == "GET" { Body::None } else { body(dice, &path, model) };
        let mut headers = Vec::new();
        if let Body::Text(text) = &body {
            let usual = if text.starts_with("--") { FORM } else { JSON };
            let others = ["Application/JSON; charset=utf-8", "text/plain", "application/jsonl", FORM];
            headers.push(("content-type", usually(dice, 85, &[usual], &others)));
        }
        if dice.percent(12) {
            let codings = ["gzip", "identity", "identity, br", "identity,identity"];
            headers.push(("content-encoding", usually(dice, 50, &["gzip"], &codings)));
        }
        if dice.percent(60) {
            headers.push(("x-team", "a"));
        }
        if dice.percent(50) {
            let others = ["https://other.example.com", "https://example.com", "null"];
            headers.push(("origin", usually(dice, 70, &["https://app.example.com"], &others)));
        }
        let networks = ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7", "11.1.2.3"];
        let address = dice.percent(90).then(|| usually(dice, 60, &["10.0.0.1"], &networks));
        let country = dice.percent(90).then(|| usually(dice, 70, &["DE"], &["FR", "T1"]));
        Self { token, method, path, headers, address, country, body }
    }

    /// Its body tells whether there is a route for it.
    pub(crate) fn may_have_route(&self) -> bool {
        let is_json = match &self.body {
            Body::Json(_) => true,
            Body::Text(_) => self.headers.contains(&("content-type", JSON)),
            Body::None => false,
        };
        is_json && self.method == "POST" && self.token.has_routes && !self.path.contains("/models/")
    }

    pub(crate) fn to_check(&self) -> Value {
        let headers: serde_json::Map<_, _> =
            self.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let mut question = json!({ "token_id": self.token.id, "method": self.method, "path": self.path,
            "headers": headers, "client": { "address": self.address, "country": self.country } });
        match &self.body {
            Body::None => {}
            Body::Json(body) => question["body"] = body.clone(),
            Body::Text(text) => question["body_text"] = json!(text),
        }
        question
    }

    pub(crate) fn to_edge(&self, edge: &Workerd) -> RequestBuilder {
        let method: Method = self.method.parse().unwrap();
        let mut request = client().request(method, edge.url(&self.path)).bearer_auth(&self.token.text);
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        // As Cloudflare tells them.
        for (name, value) in [("cf-connecting-ip", self.address), ("cf-ipcountry", self.country)] {
            request = value.into_iter().fold(request, |request, value| request.header(name, value));
        }
        match &self.body {
            Body::None => request,
            Body::Json(body) => request.header("content-type", JSON).body(body.to_string()),
            Body::Text(text) => request.body(text.clone()),
        }
    }
}

fn usually(dice: &mut Dice, percent: usize, usual: &[&'static str], others: &[&'static str]) -> &'static str {
    let among = if dice.percent(percent) { usual } else { others };
    dice.pick(among.iter()).unwrap()
}

fn model(dice: &mut Dice) -> &'static str {
    let models = [
        "fast",
        "gpt-4o",
        "gpt-4-mini",
        "small-1",
        "o1",
        "o7",
        "o8",
        "o9",
        "gemini-2.5-flash",
        "gemini-2.5-pro",
    ];
    dice.pick(models.into_iter()).unwrap()
}

fn path(dice: &mut Dice, model: &str) -> String {
    let named = dice.pick(NAMED.into_iter()).unwrap();
    if named.starts_with("gem") && dice.percent(80) {
        return format!("/{named}/v1beta/models/{model}:generateContent");
    }
    let usual = ["/v1/chat/completions"];
    let others = [
        "/v1/embeddings",
        "/v1/audio/transcriptions",
        "/v1/models",
        "/v1/models/gpt-4o",
        "/v1/files",
        "/v1beta/models/gemini-2.5-flash:generateContent",
        "/v1//chat",
        "/v1/%2Fchat",
        "/v1/chat/completions?api-version=1",
    ];
    let path = usually(dice, 75, &usual, &others);
    match dice.below(20) {
        0 => format!("/nobody{path}"),
        // The project's default provider.
        1..10 if !path.starts_with("/v1beta") => path.to_owned(),
        _ => format!("/{named}{path}"),
    }
}

fn body(dice: &mut Dice, path: &str, model: &str) -> Body {
    if path.contains("transcriptions") && dice.percent(80) {
        return Body::Text(form(dice, model));
    }
    if dice.percent(25) {
        return Body::Text(odd(dice, model));
    }
    let body = good(dice, path, model);
    if dice.percent(50) { Body::Json(body) } else { Body::Text(body.to_string()) }
}

fn good(dice: &mut Dice, path: &str, model: &str) -> Value {
    let mut body = if path.contains(":generateContent") {
        json!({ "contents": [{ "role": "user", "parts": [{ "text": "hello" }] }] })
    } else {
        json!({ "messages": [{ "role": "user", "content": "hello" }], "input": "hello" })
    };
    if !path.contains(":generateContent") && dice.percent(95) || dice.percent(10) {
        body["model"] = json!(model);
    }
    for (percent, name, value) in [
        (60, "max_tokens", json!(50)),
        (10, "max_tokens", json!(5000)),
        (15, "n", json!(3)),
        (10, "n", json!(1)),
        (10, "stream_options", json!({ "include_usage": true })),
        (10, "tools", json!([{ "type": "function" }, { "type": "web_search" }])),
        (15, "user", json!("x".repeat(120))),
    ] {
        if dice.percent(percent) {
            body[name] = value;
        }
    }
    body
}

/// What two readers could take differently, and what is no JSON.
fn odd(dice: &mut Dice, model: &str) -> String {
    let messages = r#""messages":[{"role":"user","content":"hello"}],"max_tokens":9"#;
    let bodies = [
        format!("{{\"model\":\"{model}\",\"model\":\"gpt-4o\",{messages}}}"),
        format!("{{\"Model\":\"{model}\",{messages},\"model\":\"gpt-4o\"}}"),
        format!("{{{messages},\"mod\\u0065l\":\"{model}\"}}"),
        format!("{{\"x\":{{\"model\":\"o1\"}},\"model\":\"{model}\",{messages}}}"),
        format!("{{\"model\":\"{model}\",{messages}}} {{}}"),
        format!("{{\"model\":\"{model}\",{messages}"),
        format!("\u{feff}{{\"model\":\"{model}\",{messages}}}"),
        format!("{{\"model\":null,{messages}}}"),
        format!("{{\"model\":7,{messages}}}"),
        format!("{{\"model\":[\"{model}\"],{messages}}}"),
        format!("[{{\"model\":\"{model}\"}}]"),
        format!("model={model}"),
        String::new(),
    ];
    dice.pick(bodies.into_iter()).unwrap()
}

fn form(dice: &mut Dice, model: &str) -> String {
    let part = |name: &str, content: &str| {
        format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
    };
    let mut form = part("model", model);
    for (percent, name, content) in [(15, "model", "gpt-4o"), (40, "file", "abc"), (15, "n", "3")] {
        if dice.percent(percent) {
            form += &part(name, content);
        }
    }
    if dice.percent(90) {
        form += "--x--\r\n";
    }
    form
}
