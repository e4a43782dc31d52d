//! The soak must be able to fail. Each mutation is a patch that breaks one
//! guarantee, applied to a copy of the source and built under another name; the
//! test that stands for the guarantee must then go red, and say why.

use super::dice::Dice;
use super::events::storm::Storm;
use super::events::{Plan, Trouble, run};
use super::kill::Database;
use crate::process::root;
use crate::redis::DURABLE;
use crate::synced::{in_redis, in_sqlite, is_traceable};
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Command;
use std::time::Duration;
use tokio::task::spawn_local;

/// Of the test that must fail.
type Verdict = Pin<Box<dyn Future<Output = Result<(), String>>>>;

struct Mutation {
    name: &'static str,
    patch: &'static str,
    test: fn(PathBuf) -> Verdict,
    /// The test's complaint has this.
    complaint: &'static str,
}

const MUTATIONS: [Mutation; 3] = [
    Mutation {
        name: "acknowledged-early",
        patch: include_str!("mutations/acknowledged-early.patch"),
        test: |program| Box::pin(storm(Database::Postgres, program)),
        complaint: "\"lost: Sent",
    },
    Mutation {
        name: "counted-twice",
        patch: include_str!("mutations/counted-twice.patch"),
        test: |program| Box::pin(storm(Database::Sqlite, program)),
        complaint: "tells of",
    },
    Mutation {
        name: "not-synced",
        patch: include_str!("mutations/not-synced.patch"),
        test: |program| Box::pin(in_sqlite(Some(program))),
        complaint: "written: true, and not synced",
    },
];

/// As in `make test`.
const REQUESTS: usize = 2_000;
const AT_ONCE: usize = 16;
const STORM: Storm = Storm { kills: 3, pause: Duration::from_secs(5) };

/// Panics if a test stays green; tells what each said.
pub async fn all_go_red() -> String {
    let mut told = Vec::new();
    for Mutation { name, patch, test, complaint } in MUTATIONS {
        if name == "not-synced" && !is_traceable() {
            told.push(format!("{name}: NOT TESTED, nothing may be traced here"));
            continue;
        }
        let program = tokio::task::spawn_blocking(move || build(name, patch)).await.unwrap();
        let Err(said) = test(program).await else { panic!("{name}: the test stays green") };
        assert!(said.contains(complaint), "{name}: red for another reason: {said}");
        told.push(format!("{name}: red, {complaint:?}"));
    }
    if is_traceable() {
        let without = ["appendonly yes", "appendfsync no"];
        assert!(in_redis(&DURABLE).is_ok() && in_redis(&without).is_err());
        told.push("Redis without fsync: red".to_owned());
    }
    told.join("; ")
}

async fn storm(database: Database, program: PathBuf) -> Result<(), String> {
    let plan = Plan {
        database,
        is_over_redis: database == Database::Postgres,
        requests: REQUESTS,
        at_once: AT_ONCE,
        trouble: Trouble::Storm(STORM),
        program: Some(program),
    };
    let panic = match spawn_local(run(plan, Dice::of_environment())).await {
        Ok(report) => {
            println!("{report}");
            return Ok(());
        }
        Err(error) => error.into_panic(),
    };
    Err(panic.downcast::<String>().map_or_else(|_| "it panicked".to_owned(), |text| *text))
}

/// The control plane with `patch`. Not in the target folder that this one is
/// from: cargo names what it builds by paths within the workspace, and would take
/// one source's for the other's.
fn build(name: &str, patch: &str) -> PathBuf {
    let target = std::env::current_exe().unwrap();
    let target = target.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists()).unwrap();
    let mutations = target.join("mutations");
    let source = mutations.join(name);
    copy(&source);
    let file = source.join("mutation.patch");
    fs::write(&file, patch).unwrap();
    // Not as a part of the checkout that it may be in, where paths would mean others.
    must(
        Command::new("git")
            .args(["apply", "mutation.patch"])
            .current_dir(&source)
            .env("GIT_CEILING_DIRECTORIES", &mutations),
    );
    let built = mutations.join("target");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--locked", "--workspace", "--bin", "latchkey"]);
    must(cargo.current_dir(&source).env("CARGO_TARGET_DIR", &built));
    let program = mutations.join(format!("latchkey-{name}"));
    fs::copy(built.join("debug/latchkey"), &program).unwrap();
    program
}

/// Of the workspace, without what was built, and all of it new: cargo goes by times.
fn copy(to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    let text = r#"tar -C "$1" --exclude=node_modules --exclude=.venv --exclude=build \
        -cf - Cargo.toml Cargo.lock rust-toolchain.toml shared control-plane migrations edge tests | tar -C "$2" -xmf -"#;
    must(Command::new("bash").args(["-ec", text, "copy"]).arg(root()).arg(to));
}

fn must(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::Stdio;

    #[test]
    fn each_patch_applies() {
        for Mutation { name, patch, .. } in MUTATIONS {
            let mut git = Command::new("git");
            let git = git.args(["apply", "--check"]).current_dir(root()).stdin(Stdio::piped());
            let mut git = git.spawn().unwrap();
            git.stdin.take().unwrap().write_all(patch.as_bytes()).unwrap();
            assert!(git.wait().unwrap().success(), "{name}");
        }
    }
}
