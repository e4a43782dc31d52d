//! Captured bodies, from the setting of a project to what the API shows of them.

use latchkey_tests::keys;
use latchkey_tests::stack::{LOG, Stack};
use latchkey_tests::workerd::{Worker, Workerd};
use reqwest::Method;
use serde_json::json;

const SAID: &str = "Write to ada@example.com";

#[tokio::test]
async fn bodies_are_captured_redacted_counted_shown_and_erased() {
    let stack = Stack::start().await;
    let (token_id, token) = stack.token().await;
    let change = json!({ "capture": { "redact": [r"[a-z.]+@[a-z.]+"] } });
    stack.control_plane.patch(&format!("/manage/projects/{}", stack.project_id), change).await;
    stack.until_settled().await;
    // One that posts its events.
    let mut variables = keys::edge_variables();
    variables.push(("CONTROL_PLANE_URL", stack.control_plane.url("")));
    let edge = Workerd::start(&Worker::edge(stack.kv.binding_address(), variables));

    let body = json!({ "model": "gpt-4o+usage=none,chunks=8", "stream": true,
        "messages": [{ "role": "user", "content": SAID }] });
    let request =
        reqwest::Client::new().post(edge.url("/v1/chat/completions")).bearer_auth(&token).json(&body);
    let answer = request.send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("ada@example.com") && !answer.contains("usage\":{"), "{answer}");

    let path = format!("/manage/events?token_id={token_id}");
    let count = async || stack.control_plane.get(&path).await["data"].as_array().unwrap().len();
    stack.until("the event", async || count().await == 1).await;
    let listed = stack.control_plane.get(&path).await;
    assert!(!listed.to_string().contains("_body"));
    let event = stack.control_plane.get(&format!("{path}&bodies=true")).await["data"][0].clone();
    let said = |name: &str| event[name].as_str().unwrap().to_owned();
    assert_eq!(said("request_body"), body.to_string().replace("ada@example.com", "[redacted]"));
    assert!(said("response_body").contains("[redacted]") && said("response_body").contains("[DONE]"));
    // By the text, which is a few words; by size it would be hundreds.
    assert_eq!(
        (&event["usage_source"], event["output_tokens"].as_u64() < Some(20)),
        (&json!("estimated"), true)
    );
    assert_eq!(event["input_tokens"].as_u64().map(|count| count < 20), Some(true), "{event}");

    let found = |text: &str, in_log_only: bool| {
        let files = std::fs::read_dir(stack.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files = files.filter(|path| !in_log_only || path.ends_with(LOG));
        files.any(|path| {
            std::fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
        })
    };
    assert!(!found("ada@", false) && found("Write to", false) && !found("Write to", true));
    stack.control_plane.must(Method::DELETE, &format!("/manage/tokens/{token_id}/events"), None).await;
    let event = stack.control_plane.get(&format!("{path}&bodies=true")).await["data"][0].clone();
    assert_eq!((&event["request_body"], &event["response_body"]), (&json!(null), &json!(null)));
}
