//! When the noise is over: is everything that was acknowledged in the database,
//! and does the edge go by it?

use super::edge::Edge;
use super::ledger::{Ledger, Project, Token};
use super::rig::Rig;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::Value;
use std::collections::HashMap;
use uuid::Uuid;

/// Requests at once.
const AT_ONCE: usize = 8;

/// How many tokens were asked about, and what does not hold.
pub async fn check(rig: &Rig, edge: &Edge, ledgers: &[Ledger]) -> (usize, Vec<String>) {
    let stored = Stored::read(rig, ledgers).await;
    let mut problems: Vec<String> = ledgers.iter().flat_map(|ledger| ledger.violations.clone()).collect();
    for ledger in ledgers {
        problems.extend(stored.contradictions(ledger));
    }
    let mut expected = Vec::new();
    for ledger in ledgers {
        for token in &ledger.tokens {
            expected.push((token, stored.verdict(token, &ledger.projects[token.project].id)));
        }
    }
    for some in expected.chunks(AT_ONCE) {
        let answers = join_all(some.iter().map(|(token, _)| edge.ask(&token.text))).await;
        for ((token, expected), answer) in some.iter().zip(answers) {
            if *expected != (answer.0, answer.1.as_deref()) {
                problems.push(format!("the edge answers {answer:?}, not {expected:?}, to {token:?}"));
            }
        }
    }
    (expected.len(), problems)
}

/// What the database has, as the management API tells it.
struct Stored {
    tokens: HashMap<Uuid, Value>,
    projects: HashMap<String, Value>,
    /// Of each project, the ids.
    credentials: HashMap<String, Vec<String>>,
    /// Of each provider, its default header.
    providers: HashMap<String, String>,
}

impl Stored {
    async fn read(rig: &Rig, ledgers: &[Ledger]) -> Self {
        let id = |item: &Value| item["id"].as_str().unwrap().to_owned();
        let tokens = list(rig, "/manage/tokens?").await.into_iter();
        let projects = list(rig, "/manage/projects?").await.into_iter();
        let mut stored = Self {
            tokens: tokens.map(|token| (id(&token).parse().unwrap(), token)).collect(),
            projects: projects.map(|project| (id(&project), project)).collect(),
            credentials: HashMap::new(),
            providers: HashMap::new(),
        };
        for project in stored.projects.keys() {
            let credentials = list(rig, &format!("/manage/projects/{project}/credentials?")).await;
            stored.credentials.insert(project.clone(), credentials.iter().map(id).collect());
        }
        for (name, _) in ledgers.iter().flat_map(|ledger| &ledger.providers) {
            let caller = rig.fleet.caller(0).unwrap();
            let path = format!("/manage/providers/{name}");
            let (_, provider) = caller.call(Method::GET, &path, None).await.unwrap();
            // There is none while no call made one; that is the empty name.
            let header = provider["default_headers"]["x-of-client"].as_str().unwrap_or_default();
            stored.providers.insert(name.clone(), header.to_owned());
        }
        stored
    }

    fn contradictions(&self, ledger: &Ledger) -> Vec<String> {
        let tokens = ledger.tokens.iter().filter(|token| !self.agrees_with_token(token));
        let projects = ledger.projects.iter().filter(|project| !self.agrees_with_project(project));
        let providers = ledger.providers.iter().filter(|(name, known)| !known.allows(&self.providers[name]));
        let lost = |what: String| format!("acknowledged, and not in the database: {what}");
        tokens
            .map(|token| lost(format!("{token:?}, stored {:?}", self.tokens.get(&token.id))))
            .chain(
                projects.map(|project| lost(format!("{project:?}, stored {}", self.projects[&project.id]))),
            )
            .chain(providers.map(|(name, known)| lost(format!("{known:?}, stored {}", self.providers[name]))))
            .collect()
    }

    fn agrees_with_token(&self, token: &Token) -> bool {
        self.tokens.get(&token.id).is_some_and(|stored| {
            token.is_valid.allows(&is_active(stored)) && token.name.allows(&text(stored, "name"))
        })
    }

    fn agrees_with_project(&self, project: &Project) -> bool {
        let stored = &self.projects[&project.id];
        let credentials = &self.credentials[&project.id];
        project.name.allows(&text(stored, "name"))
            && project.is_active.allows(&is_active(stored))
            && project.credentials.iter().all(|known| known.is_there.allows(&credentials.contains(&known.id)))
    }

    /// What the edge must answer to this token.
    fn verdict(&self, token: &Token, project: &str) -> (u16, Option<&'static str>) {
        let Some(stored) = self.tokens.get(&token.id) else { return (401, Some("invalid_token")) };
        if !stored["revoked_at"].is_null() {
            (401, Some("token_revoked"))
        } else if !is_active(stored) {
            (401, Some("token_expired"))
        } else if !is_active(&self.projects[project]) {
            (403, Some("project_inactive"))
        } else if self.credentials[project].is_empty() {
            (503, Some("upstream_unavailable"))
        } else {
            (200, None)
        }
    }
}

fn is_active(stored: &Value) -> bool {
    stored["is_active"] == true
}

fn text(stored: &Value, field: &str) -> String {
    stored[field].as_str().unwrap().to_owned()
}

/// All of a list, page after page.
async fn list(rig: &Rig, path: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = rig.must(0, Method::GET, &format!("{path}limit=100{cursor}"), None).await;
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}
