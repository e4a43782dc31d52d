//! SDKs through routes whose first target fails: what the second answers is a stream
//! that opens with the call of a tool, or JSON by a schema, and the SDK has it whole.

use crate::sdk_faults::look_at_all;
use crate::sdk_routes::SDKS;
use latchkey_tests::edge::EdgeStack;
use latchkey_tests::fixture;
use serde_json::{Value, json};
use shared::event::{Completion, Event};
use shared::provider::Api;

/// What is wanted, what the first target does, and the status of its answer.
const CASES: [(&str, &str, u16); 3] =
    [("calls", "status:503", 503), ("calls", "error", 200), ("object", "status:503", 503)];

/// One SDK in one case.
struct Try {
    sdk: &'static str,
    /// The one that is asked for, and the one that is first in the route.
    providers: [&'static str; 2],
    wants: &'static str,
    fault: &'static str,
    status: u16,
}

impl Try {
    fn all() -> Vec<Self> {
        let of = |(sdk, main, spare)| {
            CASES.map(|(wants, fault, status)| Self { sdk, providers: [main, spare], wants, fault, status })
        };
        SDKS.into_iter().flat_map(of).collect()
    }

    /// Nobody else asks for it.
    fn model(&self) -> String {
        format!("{}-{}-{}", self.sdk, self.wants, self.fault.replace(':', "-"))
    }

    /// As they are asked for upstream.
    fn models(&self) -> [String; 2] {
        let model = self.model();
        [format!("{model}-first+fault={}", self.fault), format!("{model}-second")]
    }

    fn route(&self) -> Value {
        let [main, spare] = self.providers;
        let [first, second] = self.models();
        json!({"name": self.model(), "match": [self.model()], "targets": [
            {"provider": spare, "model": first},
            {"provider": main, "model": second, "priority": 1},
        ]})
    }

    fn check(&self, told: &[Value], log: &[Value], event: &Event) {
        let model = self.model();
        let object = json!({"city": "example", "days": 1});
        let expected = match self.wants {
            "calls" => json!([{"name": "get_weather", "arguments": object}]),
            _ => object,
        };
        let saw = &told.iter().find(|one| one["model"] == *model).unwrap()["saw"];
        assert_eq!(*saw, expected, "{model}");

        let models = self.models();
        let reached = log.iter().filter(|entry| models.iter().any(|model| entry["model"] == **model));
        let reached: Vec<_> = reached.map(|entry| (&entry["model"], &entry["status"])).collect();
        let [first, second] = models.map(Value::from);
        assert_eq!(reached, [(&first, &json!(self.status)), (&second, &json!(200))], "{model}");

        let attempts: Vec<_> = event.attempts.iter().map(|attempt| attempt.status).collect();
        assert_eq!(attempts, [Some(self.status), Some(200)], "{model}");
        assert_eq!((event.status, event.completion), (200, Completion::Complete), "{model}");
    }
}

async fn start(tries: &[Try]) -> EdgeStack {
    let edge = EdgeStack::empty(60_000).await;
    let mut providers = edge.providers();
    let url = edge.upstream.url();
    providers.providers.extend([
        fixture::provider("openai-too", Api::OpenAi, "authorization", "Bearer ", url),
        fixture::provider("anthropic-too", Api::Anthropic, "x-api-key", "", url),
    ]);
    let mut project = fixture::project(1, &providers);
    project.routes = tries.iter().map(|one| serde_json::from_value(one.route()).unwrap()).collect();
    let mut manifest = edge.manifest(1);
    manifest.delta.projects = vec![project];
    manifest.delta.providers = Some(providers);
    edge.publish(&manifest);
    edge
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sdk_gets_calls_and_objects_whole_from_the_second_target() {
    let tries = Try::all();
    let edge = start(&tries).await;
    let cases: Vec<Value> =
        tries.iter().map(|one| json!({"sdk": one.sdk, "model": one.model(), "wants": one.wants})).collect();
    let told = look_at_all(&edge, "tools", &cases);
    assert_eq!(told.len(), tries.len(), "{told:?}");
    let log = edge.upstream.log().await;
    for one in &tries {
        one.check(&told, &log, &edge.events.asking_for(&one.model()).await);
    }
}
