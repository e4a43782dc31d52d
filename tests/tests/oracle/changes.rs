//! Changes by way of the management API's own functions, and the same in the model.

use crate::clock::{self, Time};
use crate::control::ControlPlane;
use crate::model::{Birth, Project, Token, TokenNumber};
use crate::step::{Life, Pick};
use crate::world::{KnownToken, World};
use control_plane::domain::credentials::{CredentialPatch, NewCredential};
use control_plane::domain::page::PageRequest;
use control_plane::domain::projects::{NewProject, ProjectPatch};
use control_plane::domain::tokens::{Expiry, NewToken, TokenPatch};
use control_plane::secret::Secret;
use latchkey_tests::fixture;
use shared::provider::Api;

const PROVIDER: &str = "openai";

/// Each says whether it was done: not while the control plane is down, nor where
/// there is nothing to change.
impl World {
    pub(crate) async fn create_project(&mut self) -> bool {
        let name = self.next_name("project");
        let Some(domain) = self.control.domain() else { return false };
        let new = NewProject {
            name,
            default_provider: Some(PROVIDER.to_owned()),
            on_stale: None,
            max_snapshot_age: None,
            stream_usage: None,
            capture: None,
            policy: None,
        };
        let project = domain.create_project(&ControlPlane::act(), new).await.unwrap();
        let number = self.projects.len();
        self.projects.push(project.id);
        self.model.change(clock::now(), |rows| {
            rows.projects.insert(number, Project { is_active: true, key: None, revoked_all: None });
        });
        self.changed();
        self.change_key(number_as_pick(self, number)).await
    }

    pub(crate) async fn create_token(&mut self, pick: Pick, life: Life) -> bool {
        let Some(project) = self.project_of(pick) else { return false };
        let row = self.model.rows().projects[&project].clone();
        let Some(domain) = self.control.domain().filter(|_| row.is_active) else { return false };
        let expires = expires(life);
        let expiry = expires.map_or(Expiry::Never, Expiry::At);
        let (project_id, name) = (self.projects[project], "token".to_owned());
        let new = NewToken { project_id, name, expiry, metadata: None, policy: None };
        let made = domain.create_token(&ControlPlane::act(), new).await.unwrap();
        let birth = Birth {
            at: clock::now(),
            issued: made.token.issued_at,
            token: Token { project, expires, revoked: None },
            project: row,
            is_replicated: made.is_replicated,
        };
        self.touched = Some(self.model.create(birth));
        let (text, tag) = (made.plain_text.to_string(), self.control.listed.tag[0]);
        self.tokens.push(KnownToken { id: made.token.id, text, tag });
        self.changed();
        true
    }

    pub(crate) async fn change_expiry(&mut self, pick: Pick, life: Life) -> bool {
        let Some(token) = self.token_of(pick) else { return false };
        let Some(domain) = self.control.domain() else { return false };
        let expires = expires(life);
        let patch = TokenPatch { expires_at: Some(expires), ..TokenPatch::default() };
        let token_id = self.tokens[token].id;
        domain.patch_token(&ControlPlane::act(), token_id, patch).await.unwrap();
        self.model.change(clock::now(), |rows| {
            if let Some(row) = rows.tokens.get_mut(&token) {
                row.expires = expires;
            }
        });
        self.touched = Some(token);
        self.changed();
        true
    }

    pub(crate) async fn revoke(&mut self, pick: Pick) -> bool {
        let Some(token) = self.token_of(pick) else { return false };
        let Some(domain) = self.control.domain() else { return false };
        domain.revoke_token(&ControlPlane::act(), self.tokens[token].id).await.unwrap();
        let now = clock::now();
        self.model.change(now, |rows| {
            if let Some(row) = rows.tokens.get_mut(&token) {
                row.revoked = row.revoked.or(Some(now));
            }
        });
        self.touched = Some(token);
        self.changed();
        true
    }

    pub(crate) async fn revoke_all(&mut self, pick: Pick) -> bool {
        let Some(project) = self.project_of(pick) else { return false };
        let Some(domain) = self.control.domain() else { return false };
        domain.revoke_tokens(&ControlPlane::act(), self.projects[project]).await.unwrap();
        self.model.revoke_all(clock::now(), project);
        self.touch_one_of(project);
        self.changed();
        true
    }

    pub(crate) async fn activate(&mut self, pick: Pick, is_active: bool) -> bool {
        let Some(project) = self.project_of(pick) else { return false };
        let Some(domain) = self.control.domain() else { return false };
        let patch = ProjectPatch { is_active: Some(is_active), ..ProjectPatch::default() };
        domain.patch_project(&ControlPlane::act(), self.projects[project], patch).await.unwrap();
        self.change_project(project, |row| row.is_active = is_active);
        true
    }

    /// Another provider key for the project's credential, or its first.
    pub(crate) async fn change_key(&mut self, pick: Pick) -> bool {
        let Some(project) = self.project_of(pick) else { return false };
        let key = self.next_name("sk-provider");
        let Some(domain) = self.control.domain() else { return false };
        let (act, project_id) = (ControlPlane::act(), self.projects[project]);
        let api_key = Secret::from(key.clone());
        let known = domain.list_credentials(project_id, &PageRequest::default()).await.unwrap();
        if let Some(credential) = known.items.first() {
            let patch = CredentialPatch { api_key: Some(api_key), ..CredentialPatch::default() };
            domain.patch_credential(&act, project_id, credential.id, patch).await.unwrap();
        } else {
            let (provider, label) = (PROVIDER.to_owned(), String::new());
            let new = NewCredential { provider, label, api_key, weight: 1, priority: 0 };
            domain.create_credential(&act, project_id, new).await.unwrap();
        }
        self.change_project(project, |row| row.key = Some(key));
        true
    }

    pub(crate) async fn remove_key(&mut self, pick: Pick) -> bool {
        let Some(project) = self.project_of(pick) else { return false };
        let Some(domain) = self.control.domain() else { return false };
        let (act, project_id) = (ControlPlane::act(), self.projects[project]);
        let page = PageRequest::default();
        let known = domain.list_credentials(project_id, &page).await.unwrap();
        let Some(credential) = known.items.first() else { return false };
        domain.delete_credential(&act, project_id, credential.id).await.unwrap();
        self.change_project(project, |row| row.key = None);
        true
    }

    pub(crate) async fn move_provider(&mut self) -> bool {
        let base_url = format!("https://provider.test/{}", self.next_name("at"));
        let Some(domain) = self.control.domain() else { return false };
        let provider = fixture::provider(PROVIDER, Api::OpenAi, "authorization", "Bearer ", &base_url);
        domain.put_provider(&ControlPlane::act(), provider).await.unwrap();
        self.model.change(clock::now(), |rows| rows.base_url = base_url);
        self.changed();
        true
    }

    fn change_project(&mut self, project: usize, change: impl FnOnce(&mut Project)) {
        self.model.change(clock::now(), |rows| {
            if let Some(row) = rows.projects.get_mut(&project) {
                change(row);
            }
        });
        self.touch_one_of(project);
        self.changed();
    }

    fn touch_one_of(&mut self, project: usize) {
        let tokens = &self.model.rows().tokens;
        self.touched = tokens.iter().rev().find(|(_, row)| row.project == project).map(|(&token, _)| token);
    }

    /// One that the database has.
    fn token_of(&self, pick: Pick) -> Option<TokenNumber> {
        let tokens = &self.model.rows().tokens;
        tokens.keys().nth(pick % tokens.len().max(1)).copied()
    }
}

pub(crate) fn expires(life: Life) -> Option<Time> {
    match life {
        Life::Forever => None,
        Life::For(ms) => Some(clock::now() + ms),
    }
}

/// The pick that chooses this project.
fn number_as_pick(world: &World, number: usize) -> Pick {
    world.model.rows().projects.keys().position(|&known| known == number).unwrap()
}
