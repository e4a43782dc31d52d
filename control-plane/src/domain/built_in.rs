//! The providers that every deployment starts with, with their stateless
//! endpoints only: files, threads, batches and stored answers would let one
//! token read what another left under the same provider key.

use shared::policy::EndpointRule;
use shared::provider::{Api, Auth, Provider, Timeouts};
use std::collections::BTreeMap;

const OPENAI: Template = Template {
    name: "openai",
    base_url: "https://api.openai.com",
    api: Api::OpenAi,
    auth: BEARER,
    post: &[
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/embeddings",
        "/v1/moderations",
        "/v1/images/generations",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
        "/v1/audio/speech",
    ],
    get: &["/v1/models/**"],
};

const ANTHROPIC: Template = Template {
    name: "anthropic",
    base_url: "https://api.anthropic.com",
    api: Api::Anthropic,
    auth: ("x-api-key", ""),
    post: &["/v1/messages", "/v1/messages/count_tokens"],
    get: &["/v1/models/**"],
};

const GOOGLE: Template = Template {
    name: "google",
    base_url: "https://generativelanguage.googleapis.com",
    api: Api::Gemini,
    auth: ("x-goog-api-key", ""),
    post: &[
        "/v1beta/models/*:generateContent",
        "/v1beta/models/*:streamGenerateContent",
        "/v1beta/models/*:countTokens",
        "/v1beta/models/*:embedContent",
        "/v1beta/models/*:batchEmbedContents",
        "/v1/models/*:generateContent",
        "/v1/models/*:streamGenerateContent",
        "/v1/models/*:countTokens",
        "/v1/models/*:embedContent",
        "/v1/models/*:batchEmbedContents",
    ],
    get: &["/v1beta/models/**", "/v1/models/**"],
};

const MISTRAL: Template = Template {
    name: "mistral",
    base_url: "https://api.mistral.ai",
    api: Api::OpenAi,
    auth: BEARER,
    post: &[
        "/v1/chat/completions",
        "/v1/fim/completions",
        "/v1/embeddings",
        "/v1/moderations",
        "/v1/chat/moderations",
        "/v1/classifications",
        "/v1/chat/classifications",
        "/v1/ocr",
        "/v1/audio/transcriptions",
    ],
    get: &["/v1/models/**"],
};

const COHERE: Template = Template {
    name: "cohere",
    base_url: "https://api.cohere.com",
    api: Api::OpenAi,
    auth: BEARER,
    post: &[
        "/v2/chat",
        "/v2/embed",
        "/v2/rerank",
        "/v1/chat",
        "/v1/embed",
        "/v1/rerank",
        "/v1/classify",
        "/v1/tokenize",
        "/v1/detokenize",
        "/compatibility/v1/chat/completions",
        "/compatibility/v1/embeddings",
    ],
    get: &["/v1/models/**"],
};

const GROQ: Template = Template {
    name: "groq",
    base_url: "https://api.groq.com/openai",
    api: Api::OpenAi,
    auth: BEARER,
    post: &[
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
        "/v1/audio/speech",
    ],
    get: &["/v1/models/**"],
};

const DEEPSEEK: Template = Template {
    name: "deepseek",
    base_url: "https://api.deepseek.com",
    api: Api::OpenAi,
    auth: BEARER,
    post: &["/chat/completions", "/v1/chat/completions", "/beta/chat/completions", "/beta/completions"],
    get: &["/models", "/v1/models"],
};

const OPENROUTER: Template = Template {
    name: "openrouter",
    base_url: "https://openrouter.ai/api",
    api: Api::OpenAi,
    auth: BEARER,
    post: &["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings"],
    get: &["/v1/models/**"],
};

const BEARER: (&str, &str) = ("authorization", "Bearer ");

/// All of them, as they are seeded.
pub fn providers() -> impl Iterator<Item = Provider> {
    [OPENAI, ANTHROPIC, GOOGLE, MISTRAL, COHERE, GROQ, DEEPSEEK, OPENROUTER].into_iter().map(Provider::from)
}

struct Template {
    name: &'static str,
    base_url: &'static str,
    api: Api,
    /// Header and prefix.
    auth: (&'static str, &'static str),
    post: &'static [&'static str],
    get: &'static [&'static str],
}

impl From<Template> for Provider {
    fn from(template: Template) -> Self {
        let rule = |method: &str, path: &&str| EndpointRule {
            methods: vec![method.to_owned()],
            path: (*path).to_owned(),
        };
        let post = template.post.iter().map(|path| rule("POST", path));
        let get = template.get.iter().map(|path| rule("GET", path));
        Self {
            name: template.name.to_owned(),
            base_url: template.base_url.to_owned(),
            auth: Auth { header: template.auth.0.to_owned(), prefix: template.auth.1.to_owned() },
            api: template.api,
            allowed_endpoints: post.chain(get).collect(),
            default_headers: BTreeMap::new(),
            allowed_headers: Vec::new(),
            timeouts: Timeouts::default(),
            policy: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::providers::checked;
    use shared::policy::{Verdict, judge};

    #[test]
    fn each_passes_the_rules_for_any_provider() {
        for provider in providers() {
            assert_eq!(checked(provider.clone(), false).unwrap(), provider);
        }
    }

    #[test]
    fn what_keeps_state_is_denied() {
        let openai = providers().next().unwrap();
        for path in ["/v1/files", "/v1/batches", "/v1/threads", "/v1/responses/resp_1"] {
            assert_eq!(judge(&openai.allowed_endpoints, "GET", path), Verdict::EndpointNotAllowed, "{path}");
        }
        assert_eq!(judge(&openai.allowed_endpoints, "GET", "/v1/models"), Verdict::Allowed);
        assert!(matches!(
            judge(&openai.allowed_endpoints, "DELETE", "/v1/models/x"),
            Verdict::MethodNotAllowed(_)
        ));
    }
}
