//! Calls of tools and JSON by a schema, in each provider's form, at once and streamed.

use serde_json::{Value, json};

use crate::harness::{PROVIDERS, Upstream, events, joined, types};

const PROMPT: &str = "Use get_weather and get_time, please.";

fn weather() -> Value {
    json!({"type": "object", "required": ["city"], "properties": {
        "city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}, "unit": {"enum": ["celsius", "kelvin"]},
    }})
}

fn arguments() -> Value {
    json!({"city": "example", "days": 3, "unit": "celsius"})
}

/// A request that offers two functions, the second without a schema, with more members.
fn request(provider: &str, model: &str, stream: bool, more: &Value) -> Value {
    let functions = |schema: &str| {
        [
            json!({"name": "get_weather", schema: weather()}),
            json!({"name": "get_time", schema: {"type": "object"}}),
        ]
    };
    let typed = |function: &Value| {
        let mut function = function.clone();
        function["type"] = json!("function");
        function
    };
    let messages = json!([{"role": "user", "content": PROMPT}]);
    let mut body = match provider {
        "chat" => {
            let tools =
                functions("parameters").map(|function| json!({"type": "function", "function": function}));
            json!({"model": model, "stream": stream, "messages": messages, "tools": tools,
                "stream_options": {"include_usage": true}})
        }
        "responses" => {
            let tools = functions("parameters").each_ref().map(typed);
            json!({"model": model, "stream": stream, "input": messages, "tools": tools})
        }
        "anthropic" => json!({"model": model, "stream": stream, "messages": messages, "max_tokens": 100,
            "tools": functions("input_schema")}),
        _ => json!({"contents": [{"role": "user", "parts": [{"text": PROMPT}]}],
            "tools": [{"functionDeclarations": functions("parametersJsonSchema")}]}),
    };
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn ask(upstream: &Upstream, provider: &str, stream: bool, more: &Value) -> reqwest::Response {
    let model = "m";
    let body = request(provider, model, stream, more);
    match provider {
        "chat" => upstream.openai("/v1/chat/completions", &body).await,
        "responses" => upstream.openai("/v1/responses", &body).await,
        "anthropic" => upstream.anthropic(&body).await,
        _ => {
            let action = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            upstream.gemini(&format!("/v1beta/models/{model}:{action}"), &body).await
        }
    }
}

async fn plain(upstream: &Upstream, provider: &str, more: &Value) -> Value {
    ask(upstream, provider, false, more).await.json().await.unwrap()
}

async fn streamed(upstream: &Upstream, provider: &str, more: &Value) -> Vec<Value> {
    events(&ask(upstream, provider, true, more).await.text().await.unwrap())
}

/// Name and arguments of each call in a plain answer, and why it ended.
fn calls(provider: &str, answer: &Value) -> (Vec<(String, Value)>, String) {
    let parsed = |text: &Value| serde_json::from_str(text.as_str().unwrap()).unwrap();
    let pointers = match provider {
        "chat" => ["/choices/0/message/tool_calls", "/choices/0/finish_reason"],
        "responses" => ["/output", "/status"],
        "anthropic" => ["/content", "/stop_reason"],
        _ => ["/candidates/0/content/parts", "/candidates/0/finishReason"],
    };
    let [items, end] = pointers.map(|pointer| answer.pointer(pointer).unwrap_or_else(|| panic!("{answer}")));
    let items = items.as_array().unwrap().iter().map(|item| match provider {
        "chat" => (&item["function"]["name"], parsed(&item["function"]["arguments"])),
        "responses" => (&item["name"], parsed(&item["arguments"])),
        "anthropic" => (&item["name"], item["input"].clone()),
        _ => (&item["functionCall"]["name"], item["functionCall"]["args"].clone()),
    });
    let items = items.map(|(name, arguments)| (name.as_str().unwrap().to_owned(), arguments));
    (items.collect(), end.as_str().unwrap().to_owned())
}

fn both() -> Vec<(String, Value)> {
    vec![("get_weather".to_owned(), arguments()), ("get_time".to_owned(), json!({}))]
}

/// What makes a provider's model call the second tool alone.
fn choice_of_time(provider: &str) -> Value {
    match provider {
        "chat" => json!({"tool_choice": {"type": "function", "function": {"name": "get_time"}}}),
        "responses" => json!({"tool_choice": {"type": "function", "name": "get_time"}}),
        "anthropic" => json!({"tool_choice": {"type": "tool", "name": "get_time"}}),
        _ => {
            json!({"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["get_time"]}}})
        }
    }
}

#[tokio::test]
async fn those_that_are_named_are_called() {
    let upstream = Upstream::start().await;
    for (provider, end) in PROVIDERS.into_iter().zip(["tool_calls", "completed", "tool_use", "STOP"]) {
        let answer = plain(&upstream, provider, &json!({})).await;
        assert_eq!(calls(provider, &answer), (both(), end.to_owned()), "{provider}");
        assert_eq!(answer, plain(&upstream, provider, &json!({})).await, "{provider}");
        let answer = plain(&upstream, provider, &choice_of_time(provider)).await;
        assert_eq!(calls(provider, &answer).0, both()[1..], "{provider}");
    }
    let answer = plain(&upstream, "chat", &json!({"parallel_tool_calls": false})).await;
    assert_eq!(calls("chat", &answer).0, both()[..1]);
    let only_one = json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}});
    assert_eq!(calls("anthropic", &plain(&upstream, "anthropic", &only_one).await).0, both()[..1]);
}

#[tokio::test]
async fn one_is_called_where_it_must_be_and_none_where_it_must_not_or_a_tool_has_answered() {
    let upstream = Upstream::start().await;
    let user = json!({"role": "user", "content": "good morning"});
    let call = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}]});
    let result = json!({"role": "tool", "tool_call_id": "call_1", "content": "12:00, says get_time"});
    for (more, called) in [
        (json!({"messages": [user]}), None),
        (json!({"messages": [user], "tool_choice": "required"}), Some("get_weather")),
        (json!({"tool_choice": "none"}), None),
        (json!({"messages": [user, call, result]}), None),
    ] {
        let answer = plain(&upstream, "chat", &more).await;
        let message = &answer["choices"][0]["message"];
        assert_eq!(message["tool_calls"][0]["function"]["name"].as_str(), called, "{more}");
        assert_eq!(message["content"].is_null(), called.is_some(), "{more}");
    }
    for (provider, required) in [
        ("chat", json!({"tool_choice": "required", "tools": []})),
        ("responses", json!({"tool_choice": {"type": "function", "name": "get_date"}})),
        ("anthropic", json!({"tool_choice": {"type": "any"}, "tools": null})),
        ("gemini", json!({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}, "tools": []})),
    ] {
        assert_eq!(ask(&upstream, provider, false, &required).await.status(), 400, "{provider}");
    }
}

#[tokio::test]
async fn chat_opens_with_the_call_and_sends_its_arguments_in_pieces() {
    let upstream = Upstream::start().await;
    let events = streamed(&upstream, "chat", &json!({})).await;
    let delta = &events[0]["choices"][0]["delta"];
    assert_eq!((&delta["role"], &delta["content"]), (&json!("assistant"), &Value::Null));
    assert_eq!(
        delta["tool_calls"][0]["function"],
        json!({"name": "get_weather", "arguments": ""}),
        "{delta}"
    );
    let pieces = |index: usize| -> Vec<Value> {
        let calls = events.iter().filter_map(|event| event.pointer("/choices/0/delta/tool_calls/0"));
        calls.filter(|call| call["index"] == index).cloned().collect()
    };
    for (index, (name, arguments)) in both().into_iter().enumerate() {
        let pieces = pieces(index);
        assert!(pieces[0]["id"].as_str().unwrap().starts_with("call_"));
        assert_eq!(pieces[0]["function"]["name"], name);
        assert!(pieces[1..].iter().all(|piece| piece.get("id").is_none()));
        assert_eq!(joined(&pieces, "/function/arguments"), arguments.to_string());
    }
    assert_ne!(pieces(0)[0]["id"], pieces(1)[0]["id"]);
    assert!(pieces(0).len() > 3);
    let [.., last, usage] = &events[..] else { panic!("{events:?}") };
    assert_eq!(last["choices"][0]["finish_reason"], "tool_calls");
    let plain = plain(&upstream, "chat", &json!({})).await;
    assert_eq!(usage["usage"], plain["usage"]);
    assert_eq!(upstream.log().await[0]["output_tokens"], usage["usage"]["completion_tokens"]);
}

#[tokio::test]
async fn responses_have_an_item_for_each_call() {
    let upstream = Upstream::start().await;
    let events = streamed(&upstream, "responses", &json!({})).await;
    let of_a_call = [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
    ];
    let expected =
        [&["response.created", "response.in_progress"][..], &of_a_call, &of_a_call, &["response.completed"]]
            .concat();
    assert_eq!(types(&events), expected);
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], index);
    }
    for (index, (_, arguments)) in both().into_iter().enumerate() {
        let own: Vec<Value> = events.iter().filter(|event| event["output_index"] == index).cloned().collect();
        let [added, .., done, item] = &own[..] else { panic!("{own:?}") };
        assert_eq!(
            (&added["item"]["type"], &added["item"]["arguments"]),
            (&json!("function_call"), &json!(""))
        );
        assert_eq!(joined(&own, "/delta"), arguments.to_string());
        assert_eq!(
            (&done["arguments"], &item["item"]["arguments"]),
            (&json!(arguments.to_string()), &done["arguments"])
        );
        assert!(own[1..own.len() - 1].iter().all(|event| event["item_id"] == added["item"]["id"]));
        assert!(item["item"]["call_id"].as_str().unwrap().starts_with("call_"));
    }
    let last = &events.last().unwrap()["response"];
    assert_eq!(*last, plain(&upstream, "responses", &json!({})).await);
    assert_eq!(last["tools"][1]["name"], "get_time");
}

#[tokio::test]
async fn anthropic_has_a_block_for_each_call() {
    let upstream = Upstream::start().await;
    let events = streamed(&upstream, "anthropic", &json!({})).await;
    let block = ["content_block_start", "content_block_delta", "content_block_stop"];
    let expected = [
        &["message_start", "content_block_start", "ping", "content_block_delta", "content_block_stop"][..],
        &block,
        &["message_delta", "message_stop"],
    ];
    assert_eq!(types(&events), expected.concat());
    for (index, (name, arguments)) in both().into_iter().enumerate() {
        let own: Vec<Value> = events.iter().filter(|event| event["index"] == index).cloned().collect();
        let start = &own[0]["content_block"];
        assert_eq!(
            (&start["type"], &start["name"], &start["input"]),
            (&json!("tool_use"), &json!(name), &json!({}))
        );
        assert!(start["id"].as_str().unwrap().starts_with("toolu_"));
        assert_eq!(own[1]["delta"], json!({"type": "input_json_delta", "partial_json": ""}));
        assert_eq!(joined(&own, "/delta/partial_json"), arguments.to_string());
    }
    let plain = plain(&upstream, "anthropic", &json!({})).await;
    let delta = &events[events.len() - 2];
    assert_eq!(
        (&delta["delta"]["stop_reason"], &plain["stop_reason"]),
        (&json!("tool_use"), &json!("tool_use"))
    );
    assert_eq!(delta["usage"]["output_tokens"], plain["usage"]["output_tokens"]);
}

#[tokio::test]
async fn gemini_sends_each_call_whole() {
    let upstream = Upstream::start().await;
    let events = streamed(&upstream, "gemini", &json!({})).await;
    let [first, second, last] = &events[..] else { panic!("{events:?}") };
    for (event, (name, arguments)) in [first, second].into_iter().zip(both()) {
        let call = &event["candidates"][0]["content"]["parts"][0]["functionCall"];
        assert_eq!(*call, json!({"name": name, "args": arguments}));
        assert_eq!(event["candidates"][0].get("finishReason"), None);
    }
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    let plain = plain(&upstream, "gemini", &json!({})).await;
    assert_eq!(last["usageMetadata"], plain["usageMetadata"]);
}

#[tokio::test]
async fn json_fits_the_schema() {
    let upstream = Upstream::start().await;
    let format = json!({"type": "json_schema", "name": "weather", "strict": true, "schema": weather()});
    for (provider, more, text, delta) in [
        (
            "chat",
            json!({"response_format": {"type": "json_schema", "json_schema": format}}),
            "/choices/0/message/content",
            "/choices/0/delta/content",
        ),
        ("responses", json!({"text": {"format": format}}), "/output/0/content/0/text", "/delta"),
        ("anthropic", json!({"output_config": {"format": format}}), "/content/0/text", "/delta/text"),
        (
            "gemini",
            json!({"generationConfig": {"responseMimeType": "application/json", "responseSchema": weather()}}),
            "/candidates/0/content/parts/0/text",
            "/candidates/0/content/parts/0/text",
        ),
    ] {
        let mut more = more;
        more["tools"] = json!([]);
        let answer = plain(&upstream, provider, &more).await;
        let said = answer.pointer(text).unwrap_or_else(|| panic!("{answer}")).as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(said).unwrap(), arguments(), "{provider}");
        assert_eq!(joined(&streamed(&upstream, provider, &more).await, delta), said, "{provider}");
    }
}

#[tokio::test]
async fn a_limit_on_tokens_cuts_arguments_and_json_short() {
    let upstream = Upstream::start().await;
    let answer = plain(&upstream, "chat", &json!({"max_tokens": 2})).await;
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "length");
    let cut = choice["message"]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    assert_eq!((cut, answer["usage"]["completion_tokens"].as_u64()), (r#"{"city":"example"#, Some(2)));
    assert_eq!(choice["message"]["tool_calls"].as_array().unwrap().len(), 1);
    let format = json!({"type": "json_schema", "json_schema": {"schema": weather()}});
    let more = json!({"tools": [], "response_format": format, "max_tokens": 1});
    let answer = plain(&upstream, "chat", &more).await;
    assert_eq!(answer["choices"][0]["message"]["content"], r#"{"city":"#);
}

#[tokio::test]
async fn a_fault_counts_the_pieces_of_a_call() {
    let upstream = Upstream::start().await;
    let body = request("chat", "m+fault=end:2", true, &json!({}));
    let response = upstream.openai("/v1/chat/completions", &body).await;
    let events = events(&response.text().await.unwrap());
    assert_eq!(joined(&events, "/choices/0/delta/tool_calls/0/function/arguments"), r#"{"city":"example"#);
}
