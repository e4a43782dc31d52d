//! A project as an isolate holds it: with the credentials that were opened so far.

use shared::key::KeyRing;
use shared::provider::Provider;
use shared::redaction::{MAX_COMPILED_LEN, Redactor};
use shared::sealed::Binding;
use shared::snapshot::config::{Credential, Project};
use shared::snapshot::record::{ProfileNumber, ProjectNumber};
use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use zeroize::Zeroizing;

/// What the allocator adds to each piece of memory, on average.
const ALLOCATION_LEN: usize = 16;
/// That of most providers is shorter.
const ORIGIN_LEN: usize = 32;
/// What a policy or route takes in memory, beside its length as JSON.
const RULES_FACTOR: usize = 4;

pub struct LiveProject {
    project: Project,
    opened: RefCell<Vec<Option<Opened>>>,
    redactor: OnceCell<Option<Rc<Redactor>>>,
}

/// Good for one origin only: a provider's may change while its project does not.
struct Opened {
    origin: String,
    key: Zeroizing<String>,
}

impl LiveProject {
    pub fn new(project: Project) -> Rc<Self> {
        Rc::new(Self { project, opened: RefCell::default(), redactor: OnceCell::new() })
    }

    /// Whether nothing differs.
    pub fn is(&self, project: &Project) -> bool {
        self.project == *project
    }

    /// Its place among the profiles.
    pub fn find_profile(&self, number: ProfileNumber) -> Option<usize> {
        self.project.profiles.iter().position(|profile| profile.number == number)
    }

    /// The plain key of credential `index`, or `None` if it does not open.
    pub fn open(
        &self,
        index: usize,
        provider: &Provider,
        deployment_id: &str,
        keys: &KeyRing,
    ) -> Option<Zeroizing<String>> {
        let credential = self.project.credentials.get(index)?;
        let origin = provider.origin();
        let mut opened = self.opened.borrow_mut();
        opened.resize_with(self.project.credentials.len(), || None);
        if let Some(known) = opened[index].as_ref().filter(|known| known.origin == origin) {
            return Some(known.key.clone());
        }
        let binding = Binding {
            deployment_id,
            project_id: self.project.id,
            credential_id: credential.id,
            provider: &credential.provider,
            origin,
        };
        let key = credential.sealed.open(binding, keys).ok()?;
        opened[index] = Some(Opened { origin: origin.to_owned(), key: key.clone() });
        Some(key)
    }

    /// What its bodies are captured with. Where a pattern cannot be applied, none is captured.
    pub fn redactor(&self) -> Option<Rc<Redactor>> {
        let capture = self.project.capture.as_ref()?;
        self.redactor.get_or_init(|| Redactor::new(&capture.redact).ok().map(Rc::new)).clone()
    }

    /// About how many bytes it takes, once all its credentials are opened.
    pub fn footprint(&self) -> usize {
        let text = |length: usize| length + ALLOCATION_LEN;
        let credential = |credential: &Credential| {
            let sealed = credential.sealed.as_str().len();
            size_of::<Credential>()
                + size_of::<Option<Opened>>()
                + text(credential.provider.len())
                + text(sealed)
                + text(ORIGIN_LEN)
                // Sealed, it is in Base64, with 50 bytes and more around it.
                + text(sealed * 3 / 4)
        };
        let rules = (&self.project.policy, &self.project.profiles, &self.project.routes);
        let rules = serde_json::to_vec(&rules).map_or(0, |text| text.len() * RULES_FACTOR);
        let patterns = self.project.capture.iter().flat_map(|capture| &capture.redact);
        size_of::<Self>()
            + rules
            + patterns.map(|pattern| text(pattern.len())).sum::<usize>()
            + self.project.capture.as_ref().map_or(0, |_| MAX_COMPILED_LEN)
            + 3 * ALLOCATION_LEN
            + text(self.project.default_provider.len())
            + self.project.credentials.iter().map(credential).sum::<usize>()
    }
}

/// By number, among `projects` sorted by it.
pub(super) fn find(projects: &[Rc<LiveProject>], number: ProjectNumber) -> Option<&Rc<LiveProject>> {
    let at = projects.binary_search_by_key(&number, |project| project.number).ok()?;
    Some(&projects[at])
}

impl Deref for LiveProject {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}

impl fmt::Debug for LiveProject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveProject({})", self.project.id)
    }
}
