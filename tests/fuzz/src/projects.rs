//! A slice of projects, or one project as the delta and a fresh record have it.

use crate::keys::RING;
use crate::memory::bounded;
use shared::sealed::Binding;
use shared::snapshot::config::{self, Project, ProjectSlice};

pub fn run(data: &[u8]) -> bool {
    slice(data) | one(data)
}

fn slice(data: &[u8]) -> bool {
    let Ok(slice) = bounded(data.len(), || config::decode::<ProjectSlice>(data)) else { return false };
    let is_sorted = slice.projects.is_sorted_by(|a, b| a.number < b.number);
    for project in &slice.projects {
        // A slice is not verified to be sorted: then a project may be missed, no more than that.
        let found = slice.find(project.number);
        assert!(found == Some(project) || !is_sorted);
        open_all(project);
    }
    for number in [0, 1, u32::MAX] {
        slice.find(number);
    }
    assert_eq!(config::decode::<ProjectSlice>(&config::encode(&slice).unwrap()).unwrap(), slice);
    true
}

fn one(data: &[u8]) -> bool {
    let Ok(project) = bounded(data.len(), || config::decode::<Project>(data)) else { return false };
    open_all(&project);
    assert_eq!(config::decode::<Project>(&config::encode(&project).unwrap()).unwrap(), project);
    true
}

/// Opens each credential, whose sealed text is not looked at before.
pub(crate) fn open_all(project: &Project) {
    for credential in &project.credentials {
        let binding = Binding {
            deployment_id: "default",
            project_id: project.id,
            credential_id: credential.id,
            provider: &credential.provider,
            origin: "https://api.openai.com",
        };
        let opened = credential.sealed.open(binding, &RING);
        assert!(opened.is_err() || credential.sealed.key_id() == Some(RING.primary().id()));
    }
}
