//! What the official SDKs make of our events is what the sinks make of them; and
//! what the sinks make of an answer. `tests/sinks/README.md` tells of both.

use super::{KEY, Service, listed_of, open};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use control_plane::domain::events::Listed;
use control_plane::sinks::{Kind, SinkError, helicone, lunary};
use serde_json::{Map, Value, json};
use std::time::Duration;

const LUNARY: &str = include_str!("golden/lunary.json");
const HELICONE: &str = include_str!("golden/helicone.json");

/// `success` of each golden file.
fn event() -> Value {
    golden(LUNARY)["from_events"]["success"]["event"].clone()
}

fn golden(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn cases(golden: &Value) -> &Map<String, Value> {
    let cases = golden["from_events"].as_object().unwrap();
    assert!(cases.len() >= 14);
    cases
}

/// As Lunary answers: of each event that it has not been told to fail, a success.
fn results(call: &Value, failed: &[(usize, &str)]) -> Value {
    let events = call["body"]["events"].as_array().unwrap();
    let results = events.iter().enumerate().map(|(index, event)| {
        match failed.iter().find(|(failed, _)| *failed == index) {
            Some((_, error)) => json!({ "id": event["runId"], "success": false, "error": error }),
            None => json!({ "id": event["runId"], "success": true }),
        }
    });
    json!({ "results": results.collect::<Value>() })
}

#[expect(clippy::unnecessary_wraps, reason = "other answers give none")]
fn took(call: &Value) -> Option<Response> {
    let answer = match call["path"].as_str() {
        Some("/v1/runs/ingest") => results(call, &[]).to_string(),
        _ => "ok".to_owned(),
    };
    Some(answer.into_response())
}

#[tokio::test]
async fn one_event_makes_the_calls_that_the_sdk_makes() {
    let service = Service::start(took).await;
    for (kind, text) in [(lunary::KIND, LUNARY), (helicone::KIND, HELICONE)] {
        let sink = service.sink(kind);
        for (name, case) in cases(&golden(text)) {
            sink.deliver(&[listed_of(&case["event"])]).await.unwrap();
            assert_eq!(Value::from(service.take_calls()), case["calls"], "{}: {name}", kind.name);
        }
    }
}

#[tokio::test]
async fn lunary_takes_several_in_one_call() {
    let service = Service::start(took).await;
    let golden = golden(LUNARY);
    let names = golden["batch"]["events"].as_array().unwrap();
    let events = names.iter().map(|name| listed_of(&cases(&golden)[name.as_str().unwrap()]["event"]));
    service.sink(lunary::KIND).deliver(&events.collect::<Vec<_>>()).await.unwrap();
    assert_eq!(Value::from(service.take_calls()), golden["batch"]["calls"]);
}

#[tokio::test]
async fn helicone_takes_each_in_its_own() {
    let service = Service::start(took).await;
    let golden = golden(HELICONE);
    let events: Vec<Listed> = cases(&golden).values().map(|case| listed_of(&case["event"])).collect();
    service.sink(helicone::KIND).deliver(&events).await.unwrap();
    let mut calls = service.take_calls();
    let mut expected: Vec<Value> =
        cases(&golden).values().flat_map(|case| case["calls"].as_array().unwrap().clone()).collect();
    for calls in [&mut calls, &mut expected] {
        calls.sort_by_key(|call| call["headers"]["helicone-request-id"].to_string());
    }
    assert_eq!(calls, expected);
}

/// Refused before it was known whose they are; one may stand for many.
#[tokio::test]
async fn events_of_no_project_are_not_sent() {
    let service = Service::start(took).await;
    let mut nobodys = listed_of(&event());
    (nobodys.event.project_id, nobodys.event.token_id, nobodys.event.requests) = (None, None, 7);
    for kind in [lunary::KIND, helicone::KIND] {
        let sink = service.sink(kind);
        sink.deliver(&[]).await.unwrap();
        sink.deliver(&[nobodys.clone()]).await.unwrap();
        assert_eq!(service.take_calls(), [Value::Null; 0]);
        sink.deliver(&[nobodys.clone(), listed_of(&event())]).await.unwrap();
        assert!(!Value::from(service.take_calls()).to_string().contains("null"));
    }
}

#[tokio::test]
async fn a_property_is_visible_ascii() {
    let service = Service::start(took).await;
    let mut listed = listed_of(&event());
    listed.event.endpoint = "/v1/grüße a%20b\r\nx: y\u{7f}".to_owned();
    listed.event.provider = Some("漢".to_owned());
    service.sink(helicone::KIND).deliver(&[listed]).await.unwrap();
    let headers = &service.take_calls()[0]["headers"];
    assert_eq!(headers["helicone-property-endpoint"], "/v1/gr%C3%BC%C3%9Fe%20a%20b%0D%0Ax:%20y%7F");
    assert_eq!(headers["helicone-property-provider"], "%E6%BC%A2");
}

#[tokio::test]
async fn bodies_that_are_no_json_objects_are_told_as_text() {
    let service = Service::start(took).await;
    for text in ["", "null", "7", "[{\"a\":1}]", "{\"cut", "\"\u{1}\""] {
        let mut told = event();
        (told["request_body"], told["response_body"]) = (text.into(), text.into());
        told["completion"] = "truncated".into();
        let listed = listed_of(&told);
        service.sink(lunary::KIND).deliver(std::slice::from_ref(&listed)).await.unwrap();
        let calls = service.take_calls();
        let events = &calls[0]["body"]["events"];
        assert_eq!((&events[0]["input"], &events[1]["output"]), (&text.into(), &text.into()));
        service.sink(helicone::KIND).deliver(&[listed]).await.unwrap();
        let calls = service.take_calls();
        let body = &calls[0]["body"];
        assert_eq!(body["providerRequest"]["json"], json!({ "model": "gpt-4o", "body": text }));
        let answer = &body["providerResponse"]["json"];
        assert_eq!((&answer["body"], &answer["error"]["message"]), (&text.into(), &"truncated".into()));
    }
}

async fn delivered(kind: Kind, answer: fn(&Value) -> Option<Response>) -> Result<(), SinkError> {
    let service = Service::start(answer).await;
    service.sink(kind).deliver(&[listed_of(&event())]).await
}

fn refused(message: &str) -> Result<(), SinkError> {
    Err(SinkError::Refused(message.to_owned()))
}

fn unavailable(message: &str, retry_after: Option<u64>) -> Result<(), SinkError> {
    let retry_after = retry_after.map(Duration::from_secs);
    Err(SinkError::Unavailable { message: message.to_owned(), retry_after })
}

#[tokio::test]
async fn what_lunary_has_had_before_is_done() {
    let again = |call: &Value| {
        let error = "Run with this ID already exists in the database.";
        Some(results(call, &[(0, error)]).to_string().into_response())
    };
    assert_eq!(delivered(lunary::KIND, again).await, Ok(()));
}

#[tokio::test]
async fn one_event_that_lunary_does_not_take_is_refused() {
    let one = |call: &Value| Some(results(call, &[(1, "no\u{0}\nsuch column")]).to_string().into_response());
    assert_eq!(delivered(lunary::KIND, one).await, refused("it refused an event: nosuch column"));
    // Also beside one that it has had before.
    let two = |call: &Value| {
        let failed = [(0, "Run with this ID already exists in the database."), (1, "no")];
        Some(results(call, &failed).to_string().into_response())
    };
    assert_eq!(delivered(lunary::KIND, two).await, refused("it refused an event: no"));
}

#[tokio::test]
async fn lunary_has_taken_nothing_of_which_it_does_not_say_so() {
    let page = |_: &Value| Some("<html>".into_response());
    let told = unavailable("it answered no results: <html>", None);
    assert_eq!(delivered(lunary::KIND, page).await, told);
    let fewer = |_: &Value| Some(r#"{"results":[{"success":true}]}"#.into_response());
    let told = unavailable("it answered for 1 of 2 events", None);
    assert_eq!(delivered(lunary::KIND, fewer).await, told);
}

#[tokio::test]
async fn what_helicone_did_not_log_is_refused() {
    let error = |_: &Value| Some(r#"{"error":"no log"}"#.into_response());
    let told = refused(r#"it refused an event: {"error":"no log"}"#);
    assert_eq!(delivered(helicone::KIND, error).await, told);
    let none = |_: &Value| Some(r#"{"error":null}"#.into_response());
    assert_eq!(delivered(helicone::KIND, none).await, Ok(()));
}

/// The last is not sent before others are answered.
#[tokio::test]
async fn unavailable_goes_before_refused() {
    for (second, expected) in [
        (StatusCode::OK, refused("it answered 400")),
        (StatusCode::SERVICE_UNAVAILABLE, unavailable("it answered 503", None)),
    ] {
        let answer = move |call: &Value| {
            let is_first = call["headers"]["helicone-property-provider"] == "first";
            Some(if is_first { StatusCode::BAD_REQUEST } else { second }.into_response())
        };
        let service = Service::start(answer).await;
        let mut events = vec![listed_of(&event()); 20];
        for listed in &mut events[..19] {
            listed.event.provider = Some("first".to_owned());
        }
        assert_eq!(service.sink(helicone::KIND).deliver(&events).await, expected);
        assert_eq!(service.take_calls().len(), 20);
    }
}

#[tokio::test]
async fn statuses() {
    for kind in [lunary::KIND, helicone::KIND] {
        let key = |_: &Value| Some((StatusCode::UNAUTHORIZED, format!("{KEY} is wrong")).into_response());
        assert_eq!(delivered(kind, key).await, unavailable("it answered 401: <key> is wrong", None));
        let limit = |_: &Value| {
            let headers = [("retry-after", "7"), ("rate-limit-reset", "1795444060")];
            Some((StatusCode::TOO_MANY_REQUESTS, headers).into_response())
        };
        assert_eq!(delivered(kind, limit).await, unavailable("it answered 429", Some(7)));
        let broken = |_: &Value| Some((StatusCode::INTERNAL_SERVER_ERROR, "oh").into_response());
        assert_eq!(delivered(kind, broken).await, unavailable("it answered 500: oh", None));
        let large = |_: &Value| Some(StatusCode::PAYLOAD_TOO_LARGE.into_response());
        assert_eq!(delivered(kind, large).await, refused("it answered 413"));
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_is_for_the_caller_to_give_up() {
    for (kind, calls_at_once) in [(lunary::KIND, 1), (helicone::KIND, 8)] {
        let service = Service::start(|_| None).await;
        let (sink, events) = (service.sink(kind), vec![listed_of(&event()); 20]);
        tokio::time::timeout(Duration::from_millis(500), sink.deliver(&events)).await.unwrap_err();
        assert_eq!(service.take_calls().len(), calls_at_once);
    }
}

#[test]
fn settings() {
    for kind in [lunary::KIND, helicone::KIND] {
        let sink = open(kind, &json!({}), KEY).unwrap();
        assert!(!format!("{sink:?}").contains(KEY), "{sink:?}");
        let wrong = |settings: Value, key: &str| open(kind, &settings, key).unwrap_err();
        assert!(wrong(json!({ "base": "https://a.example" }), KEY).contains("unknown field `base`"));
        assert_eq!(wrong(json!({ "base_url": ["sk-misplaced"] }), KEY), "base_url: expected a string");
        assert!(wrong(json!({ "base_url": "http://a.example" }), KEY).starts_with("base_url: must start"));
        for key in ["", "two words", "line\n", "schlüssel"] {
            assert_eq!(
                wrong(json!({}), key),
                "secret: is not a key, which has visible ASCII characters only"
            );
        }
    }
}
