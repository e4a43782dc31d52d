//! Two keys of a project: the second takes over while the first rests, and the first
//! comes back.

use latchkey_tests::process::binary;
use latchkey_tests::stack::Stack;
use latchkey_tests::workerd::{Worker, Workerd};
use latchkey_tests::{fixture, keys};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

const SECOND_KEY: &str = "sk-upstream-second";
const REST_SECONDS: u64 = 5;

#[tokio::test]
async fn the_second_key_takes_over_while_the_first_rests_and_the_first_comes_back() {
    let stack = Stack::start().await;
    let credentials = format!("/manage/projects/{}/credentials", stack.project_id);
    let first = stack.control_plane.get(&credentials).await["data"][0]["id"].clone();
    let second = json!({"provider": "example", "label": "second", "api_key": SECOND_KEY, "priority": 1});
    let second = stack.control_plane.post(&credentials, second).await["id"].clone();
    let client = Client::of(&stack).await;

    let limited = format!(
        "gpt-a+fault=status:429,after={REST_SECONDS},only={}",
        fixture::UPSTREAM_KEY.trim_start_matches("sk-")
    );
    assert_eq!(client.ask("gpt-a").await, ("example".to_owned(), 1));
    assert_eq!(client.ask(&limited).await, ("example".to_owned(), 2));
    assert_eq!(client.ask("gpt-a").await, ("example".to_owned(), 1));
    assert_eq!(
        client.keys_used().await,
        [fixture::UPSTREAM_KEY, fixture::UPSTREAM_KEY, SECOND_KEY, SECOND_KEY]
    );
    let shown = client.standings(&[]);
    let row = shown.lines().find(|line| line.contains(first.as_str().unwrap())).unwrap();
    assert!(row.starts_with("example") && row.contains("rests"), "{shown}");
    let shown: Value = serde_json::from_str(&client.standings(&["--json"])).unwrap();
    assert_eq!(shown["isolate"]["providers"][0]["credential_id"], first, "{shown}");
    stack
        .until("the first key is used again", async || {
            // Often enough to see when, and not so often that there are many events.
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert_eq!(client.ask("gpt-a").await.1, 1);
            client.keys_used().await.last().is_some_and(|key| key == fixture::UPSTREAM_KEY)
        })
        .await;

    let used = client.keys_used().await;
    let events = client.events(&stack, used.len() - 1).await;
    let (before, limited, after) = (&events[0], &events[1], &events[2..]);
    assert_eq!(attempts(before), [(&first, &json!(200))]);
    assert_eq!(attempts(limited), [(&first, &json!(429)), (&second, &json!(200))]);
    let (last, meanwhile) = after.split_last().unwrap();
    assert!(!meanwhile.is_empty());
    for event in meanwhile {
        assert_eq!(attempts(event), [(&second, &json!(200))]);
    }
    assert_eq!(attempts(last), [(&first, &json!(200))]);
    let asked_at = |event: &Value| event["attempts"][0]["started_at"].as_u64().unwrap();
    assert!(asked_at(last) - asked_at(limited) >= 1_000 * REST_SECONDS, "{last}");
}

/// Which credential was asked, and its status.
fn attempts(event: &Value) -> Vec<(&Value, &Value)> {
    let attempts = event["attempts"].as_array().unwrap().iter();
    attempts.map(|attempt| (&attempt["credential_id"], &attempt["status"])).collect()
}

/// With a token of the project, at an edge that posts its events.
struct Client {
    token_id: String,
    token: String,
    edge: Workerd,
    upstream: String,
    http: reqwest::Client,
}

impl Client {
    async fn of(stack: &Stack) -> Self {
        let (token_id, token) = stack.token().await;
        stack.until_settled().await;
        let mut variables = keys::edge_variables();
        variables.push(("CONTROL_PLANE_URL", stack.control_plane.url("")));
        let edge = Workerd::start(&Worker::edge(stack.kv.binding_address(), variables));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { token_id, token, edge, upstream: stack.upstream.clone(), http }
    }

    /// Who answered, and how many were asked.
    async fn ask(&self, model: &str) -> (String, u32) {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]});
        let request = self.http.post(self.edge.url("/v1/chat/completions")).bearer_auth(&self.token);
        let answer = request.json(&body).send().await.unwrap().error_for_status().unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        (header("x-latchkey-provider"), header("x-latchkey-attempts").parse().unwrap())
    }

    /// As `latchkey edge` shows them.
    fn standings(&self, options: &[&str]) -> String {
        let mut latchkey = Command::new(binary("latchkey"));
        latchkey.args(["edge", "--edge", &self.edge.url("")]).args(options);
        let output = latchkey.envs(keys::edge_variables()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What reached the upstream, oldest first.
    async fn keys_used(&self) -> Vec<String> {
        let log = self.http.get(format!("{}/_control/requests", self.upstream)).send().await.unwrap();
        let log: Value = log.json().await.unwrap();
        let requests = log["data"].as_array().unwrap().iter();
        requests.map(|request| request["credential"].as_str().unwrap().to_owned()).collect()
    }

    /// All `count`, oldest first.
    async fn events(&self, stack: &Stack, count: usize) -> Vec<Value> {
        let path = format!("/manage/events?token_id={}&limit=100", self.token_id);
        let listed = async || stack.control_plane.get(&path).await["data"].as_array().unwrap().clone();
        stack.until("the events", async || listed().await.len() == count).await;
        let mut events = listed().await;
        events.reverse();
        events
    }
}
