//! SDKs through routes and several keys, with nothing set but base URL and key: an
//! answer where the first that was asked fails, and each SDK's own error where the
//! client is at fault.

use crate::sdk_faults::look_at_all;
use latchkey_tests::edge::EdgeStack;
use latchkey_tests::fixture;
use latchkey_tests::keys;
use serde_json::{Value, json};
use shared::event::{Completion, Event};
use shared::id;
use shared::provider::Api;
use shared::sealed::{Binding, Sealed};
use shared::snapshot::config::{Credential, Project, Providers};

const ANSWER: &str = "Hello! You said: \"Open, please\". \
     I am the example upstream, so no model was asked and nothing was spent.";
const SECOND_KEY: &str = "sk-upstream-second";

/// As the scripts call them, and the providers that they ask for and that stand by.
pub(crate) const SDKS: [(&str, &str, &str); 7] = [
    ("chat", "openai", "openai-too"),
    ("responses", "openai", "openai-too"),
    ("ai-openai", "openai", "openai-too"),
    ("ai-chat", "openai", "openai-too"),
    ("python", "openai", "openai-too"),
    ("anthropic", "anthropic", "anthropic-too"),
    ("ai-anthropic", "anthropic", "anthropic-too"),
];

const STREAM: bool = true;
const PLAIN: bool = false;

/// What a case's model leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A route over two targets.
    Route,
    /// The same, and the second goes on where the first's stream breaks off.
    Resumed,
    /// No route: the provider that is asked for, with two keys.
    Keys,
}

/// What fails whoever is asked first, and the status that the upstream gives there.
const CASES: [(Way, &str, bool, Option<u16>); 15] = [
    (Way::Route, "status:429", PLAIN, Some(429)),
    (Way::Route, "status:429", STREAM, Some(429)),
    (Way::Route, "status:503", PLAIN, Some(503)),
    (Way::Route, "status:503", STREAM, Some(503)),
    (Way::Route, "reset", PLAIN, None),
    (Way::Route, "reset", STREAM, None),
    (Way::Route, "error", STREAM, Some(200)),
    (Way::Resumed, "cut:4", STREAM, Some(200)),
    (Way::Resumed, "malformed:9", STREAM, Some(200)),
    // Of these nothing is remembered: the first key is asked by the next SDK too.
    (Way::Keys, "status:408", PLAIN, Some(408)),
    (Way::Keys, "status:408", STREAM, Some(408)),
    (Way::Route, "status:400", PLAIN, Some(400)),
    (Way::Route, "status:400", STREAM, Some(400)),
    (Way::Keys, "status:400", PLAIN, Some(400)),
    (Way::Keys, "status:400", STREAM, Some(400)),
];

/// One SDK in one case.
struct Try {
    sdk: &'static str,
    providers: [&'static str; 2],
    way: Way,
    fault: &'static str,
    stream: bool,
    status: Option<u16>,
}

impl Try {
    fn all() -> Vec<Self> {
        let of = |(sdk, main, spare)| {
            CASES.map(|(way, fault, stream, status)| Self {
                sdk,
                providers: [spare, main],
                way,
                fault,
                stream,
                status,
            })
        };
        SDKS.into_iter().flat_map(of).filter(Self::can_be).collect()
    }

    /// No stream of responses begins as another, so that none goes on.
    fn can_be(&self) -> bool {
        self.way != Way::Resumed || !matches!(self.sdk, "responses" | "ai-openai")
    }

    /// What the SDK asks for. Nobody else does.
    fn model(&self) -> String {
        let Self { sdk, stream, fault, .. } = self;
        let name = format!("{sdk}-{}", if *stream { "stream" } else { "plain" });
        match self.way {
            Way::Route | Way::Resumed => format!("{name}-{}", fault.replace(':', "-")),
            Way::Keys => format!("{name}+fault={fault},only={}", &fixture::UPSTREAM_KEY[10..]),
        }
    }

    fn route(&self) -> Value {
        let [first, second] = self.models();
        let [spare, main] = self.providers;
        let resume = if self.way == Way::Resumed { "verified" } else { "off" };
        json!({"name": self.model(), "match": [self.model()], "resume": resume, "targets": [
            {"provider": spare, "model": first},
            {"provider": main, "model": second, "priority": 1},
        ]})
    }

    /// As they are asked for upstream.
    fn models(&self) -> [String; 2] {
        let model = self.model();
        match self.way {
            Way::Route | Way::Resumed => {
                [format!("{model}-first+fault={}", self.fault), format!("{model}-second")]
            }
            Way::Keys => [model.clone(), model],
        }
    }

    fn is_passed_on(&self) -> bool {
        self.status == Some(400)
    }

    /// What reaches the upstream: model, credential, and the status of its answer.
    fn expected(&self) -> Vec<(String, &str, Option<u16>)> {
        let [first, second] = self.models();
        let second_key = if self.way == Way::Keys { SECOND_KEY } else { fixture::UPSTREAM_KEY };
        let mut all = vec![(first, fixture::UPSTREAM_KEY, self.status)];
        all.extend((!self.is_passed_on()).then_some((second, second_key, Some(200))));
        all
    }

    fn check(&self, told: &[Value], log: &[Value], event: &Event) {
        let model = self.model();
        let saw = told.iter().find(|one| one["model"] == *model).unwrap()["saw"].as_str().unwrap();
        let is_right = if self.is_passed_on() { saw == "bad request" } else { saw == ANSWER };
        assert!(is_right, "{model}: {saw}");

        let models = self.models();
        let reached: Vec<_> = log
            .iter()
            .filter(|entry| models.iter().any(|model| entry["model"] == **model))
            .map(|entry| {
                let text = |name: &str| entry[name].as_str().unwrap();
                let status = entry["status"].as_u64().map(|status| u16::try_from(status).unwrap());
                (text("model").to_owned(), text("credential"), status)
            })
            .collect();
        assert_eq!(reached, self.expected(), "{model}");

        let attempts: Vec<_> = event.attempts.iter().map(|attempt| attempt.status).collect();
        let statuses: Vec<_> = reached.iter().map(|(_, _, status)| *status).collect();
        assert_eq!((attempts, event.completion), (statuses, Completion::Complete), "{model}");
        assert_eq!(event.status, if self.is_passed_on() { 400 } else { 200 }, "{model}");
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
    add_second_keys(&mut project, &providers);
    let routes = tries.iter().filter(|one| one.way != Way::Keys).map(Try::route);
    project.routes = routes.map(|route| serde_json::from_value(route).unwrap()).collect();
    let mut manifest = edge.manifest(1);
    manifest.delta.projects = vec![project];
    manifest.delta.providers = Some(providers);
    edge.publish(&manifest);
    edge
}

fn add_second_keys(project: &mut Project, providers: &Providers) {
    for (at, name) in (0..).zip(["openai", "anthropic"]) {
        let provider = providers.providers.iter().find(|provider| provider.name == name).unwrap();
        let credential_id = id::new(3, &[at; 10]);
        let binding = Binding {
            deployment_id: keys::DEPLOYMENT,
            project_id: project.id,
            credential_id,
            provider: name,
            origin: provider.origin(),
        };
        let sealed = Sealed::seal(SECOND_KEY, binding, &keys::credential_keys(), [100 + at; 12]).unwrap();
        let provider = name.to_owned();
        project.credentials.push(Credential { id: credential_id, provider, weight: 1, priority: 1, sealed });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sdk_gets_its_answer_where_the_first_fails_and_its_own_error_where_it_is_to_blame() {
    let tries = Try::all();
    let edge = start(&tries).await;
    let cases: Vec<Value> =
        tries.iter().map(|one| json!({"sdk": one.sdk, "model": one.model(), "stream": one.stream})).collect();
    let told = look_at_all(&edge, "routes", &cases);
    assert_eq!(told.len(), tries.len(), "{told:?}");
    let log = edge.upstream.log().await;
    for one in &tries {
        one.check(&told, &log, &edge.events.asking_for(&one.model()).await);
    }
}
