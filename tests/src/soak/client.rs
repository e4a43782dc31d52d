//! A client of the management API that makes changes while control planes and
//! database are killed under it, and keeps book of what it was told.

use super::fleet::Fleet;
use super::ledger::{Credential, Ledger, Project, Tally, Token};
use super::{dice::Dice, edge::Edge, known::Known};
use crate::fixture;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

const PAUSE: Duration = Duration::from_millis(20);
/// Of one token in ten.
const SHORT_LIFE: Duration = Duration::from_secs(2);
const FEWEST_TOKENS: usize = 3;

/// What all clients share.
#[derive(Debug)]
pub struct Work {
    pub fleet: Arc<Fleet>,
    pub edge: Edge,
    pub upstream: String,
    /// Changes of all clients so far.
    pub made: AtomicUsize,
    pub is_over: AtomicBool,
    /// Tokens whose revocation was acknowledged.
    pub revoked: Arc<Mutex<Vec<Uuid>>>,
}

#[derive(Debug)]
pub struct Client {
    work: Arc<Work>,
    dice: Dice,
    /// In names, so that no two clients choose the same.
    number: usize,
    names: usize,
    ledger: Ledger,
}

/// What became of a call that changes something.
enum Answer {
    Done(Value),
    /// It was not done.
    Refused,
    /// It may have been done.
    Unknown,
}

impl Client {
    pub fn new(work: Arc<Work>, dice: Dice, number: usize, projects: Vec<Project>) -> Self {
        let provider = (format!("of-client-{number}"), Known::new(String::new()));
        let ledger = Ledger { projects, providers: vec![provider], ..Ledger::default() };
        Self { work, dice, number, names: 0, ledger }
    }

    /// Works until it is over.
    pub async fn run(mut self) -> Ledger {
        while !self.work.is_over.load(Ordering::Relaxed) {
            self.step().await;
        }
        self.ledger
    }

    async fn step(&mut self) {
        match self.dice.below(100) {
            _ if self.ledger.tokens.len() < FEWEST_TOKENS => self.create_token().await,
            0..40 => self.create_token().await,
            40..60 => self.revoke_token().await,
            60..68 => self.patch_token().await,
            68..71 => self.revoke_all().await,
            71..79 => self.patch_project().await,
            79..86 => self.change_credentials().await,
            86..88 => self.put_provider().await,
            _ => self.ask_the_edge().await,
        }
    }

    async fn create_token(&mut self) {
        let project = self.dice.below(self.ledger.projects.len());
        let (id, name) = (self.ledger.projects[project].id.clone(), self.name());
        let withers = self.dice.percent(10);
        let mut body = json!({"project_id": id, "name": name});
        body[if withers { "expires_in" } else { "expires_at" }] =
            if withers { SHORT_LIFE.as_secs().into() } else { Value::Null };
        let Answer::Done(answer) = self.change(Method::POST, "/manage/tokens", Some(body)).await else {
            return;
        };
        if withers {
            self.ledger.withers_in(SHORT_LIFE);
        }
        self.ledger.tokens.push(Token {
            id: answer["id"].as_str().unwrap().parse().unwrap(),
            text: answer["token"].as_str().unwrap().to_owned(),
            project,
            name: Known::new(name),
            is_valid: Known::new(!withers),
            is_replicated: answer["replicated"] == true,
            was_refused: false,
        });
    }

    /// One of which it is not known already that it is.
    async fn revoke_token(&mut self) {
        let Some(at) = self.token(|token| !token.is_surely_invalid()) else { return };
        let id = self.ledger.tokens[at].id;
        let path = format!("/manage/tokens/{id}");
        let is_done = self.change(Method::DELETE, &path, None).await.is_done();
        self.ledger.tokens[at].is_valid.asked(false, is_done);
        if is_done {
            self.work.revoked.lock().unwrap().push(id);
        }
    }

    /// Its name, which the edge does not know, or when it ends, which it does.
    async fn patch_token(&mut self) {
        let Some(at) = self.token(Token::is_surely_valid) else { return };
        let path = format!("/manage/tokens/{}", self.ledger.tokens[at].id);
        if self.dice.percent(30) {
            let name = self.name();
            let answer = self.change(Method::PATCH, &path, Some(json!({"name": name}))).await;
            self.ledger.tokens[at].name.asked(name, answer.is_done());
        } else {
            let end = format!("{}-01-01T00:00:00Z", 3_000 + self.dice.below(1_000));
            self.change(Method::PATCH, &path, Some(json!({"expires_at": end}))).await;
        }
    }

    async fn revoke_all(&mut self) {
        let project = self.own_project();
        let path = format!("/manage/projects/{}/tokens/revoke", self.ledger.projects[project].id);
        let answer = self.change(Method::POST, &path, None).await;
        self.ledger.all_revoked(project, answer.is_done());
    }

    async fn patch_project(&mut self) {
        let at = self.own_project();
        let path = format!("/manage/projects/{}", self.ledger.projects[at].id);
        if self.dice.percent(30) {
            let name = self.name();
            let answer = self.change(Method::PATCH, &path, Some(json!({"name": name}))).await;
            self.ledger.projects[at].name.asked(name, answer.is_done());
        } else {
            // More often than not it is active.
            let is_active = !self.ledger.projects[at].is_active.is(&true);
            let answer = self.change(Method::PATCH, &path, Some(json!({"is_active": is_active}))).await;
            self.ledger.projects[at].is_active.asked(is_active, answer.is_done());
        }
    }

    async fn change_credentials(&mut self) {
        let at = self.own_project();
        let path = format!("/manage/projects/{}/credentials", self.ledger.projects[at].id);
        let of = &self.ledger.projects[at].credentials;
        let there = (0..of.len()).filter(|&one| !of[one].is_there.is(&false));
        match self.dice.pick(there) {
            Some(one) if self.dice.percent(50) => {
                let path = format!("{path}/{}", self.ledger.projects[at].credentials[one].id);
                let answer = self.change(Method::DELETE, &path, None).await;
                // Refused, it had been done by a call that was not answered.
                let is_gone = !matches!(answer, Answer::Unknown);
                self.ledger.projects[at].credentials[one].is_there.asked(false, is_gone);
            }
            _ => {
                let key = fixture::UPSTREAM_KEY;
                let body = json!({"provider": "example", "label": self.name(), "api_key": key});
                if let Answer::Done(answer) = self.change(Method::POST, &path, Some(body)).await {
                    let id = answer["id"].as_str().unwrap().to_owned();
                    let credential = Credential { id, is_there: Known::new(true) };
                    self.ledger.projects[at].credentials.push(credential);
                }
            }
        }
    }

    async fn put_provider(&mut self) {
        let path = format!("/manage/providers/{}", self.ledger.providers[0].0);
        let value = self.name();
        let body = json!({
            "base_url": self.work.upstream,
            "auth": {"header": "authorization", "prefix": "Bearer "},
            "api": "openai",
            "allowed_endpoints": [{"methods": ["GET"], "path": "/v1/models/**"}],
            "default_headers": {"x-of-client": value},
        });
        let answer = self.change(Method::PUT, &path, Some(body)).await;
        self.ledger.providers[0].1.asked(value, answer.is_done());
    }

    /// In the project that nobody changes, a token works from the moment of its
    /// creation; and one that was refused once is refused for ever.
    async fn ask_the_edge(&mut self) {
        let projects = &self.ledger.projects;
        let is_certain = |token: &Token| {
            let works = token.is_surely_valid() && token.is_replicated && projects[token.project].is_shared;
            works || token.is_surely_invalid()
        };
        let certain = (0..self.ledger.tokens.len()).filter(|&at| is_certain(&self.ledger.tokens[at]));
        let Some(at) = self.dice.pick(certain) else { return };
        let answer = self.work.edge.ask(&self.ledger.tokens[at].text).await;
        self.ledger.tally.asked += 1;
        let token = &mut self.ledger.tokens[at];
        let is_wrong =
            if token.is_surely_valid() { answer.0 != 200 } else { token.was_refused && answer.0 != 401 };
        token.was_refused |= token.is_surely_invalid() && answer.0 == 401;
        if is_wrong {
            let problem = format!("the edge answers {answer:?} to {token:?}");
            self.ledger.violation(problem);
        }
    }

    /// At whichever control plane answers.
    async fn change(&mut self, method: Method, path: &str, body: Option<Value>) -> Answer {
        loop {
            let at = self.dice.below(self.work.fleet.all().len());
            let Some(caller) = self.work.fleet.caller(at) else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let answer = match caller.call(method.clone(), path, body.clone()).await {
                Ok((status, answer)) if status.is_success() => Answer::Done(answer),
                Ok((status, answer)) if status.is_client_error() => {
                    self.check_refusal(status, &answer);
                    return Answer::Refused;
                }
                // It was not even sent.
                Err(error) if error.is_connect() => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Ok(_) | Err(_) => Answer::Unknown,
            };
            self.work.made.fetch_add(1, Ordering::Relaxed);
            let acknowledged = usize::from(answer.is_done());
            self.ledger.tally += Tally { made: 1, acknowledged, asked: 0 };
            return answer;
        }
    }

    /// Refused is only what a call that was not answered explains: the project
    /// may be inactive, the credential gone.
    fn check_refusal(&mut self, status: StatusCode, answer: &Value) {
        if ![StatusCode::CONFLICT, StatusCode::NOT_FOUND].contains(&status) {
            self.ledger.violation(format!("refused: {status} {answer}"));
        }
    }

    fn own_project(&mut self) -> usize {
        let own = (0..self.ledger.projects.len()).filter(|&at| !self.ledger.projects[at].is_shared);
        self.dice.pick(own).unwrap()
    }

    fn token(&mut self, is_wanted: impl Fn(&Token) -> bool) -> Option<usize> {
        let wanted = (0..self.ledger.tokens.len()).filter(|&at| is_wanted(&self.ledger.tokens[at]));
        self.dice.pick(wanted)
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("client {} name {}", self.number, self.names)
    }
}

impl Answer {
    fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
}
