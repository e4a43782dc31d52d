//! What a new user does: `make run`, paste the curl, use an SDK.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod failover;

use latchkey_tests::local::LocalRun;
use latchkey_tests::process::root;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// As a person has it: wrangler keeps files of its own in the checkout, and the
/// one time that a run did not end well, another one was stopping beside it.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One run for what can share it: it takes a few seconds to come up.
#[test]
fn the_pasted_curl_streams_and_official_sdks_work() {
    let _alone = alone();
    let home = TempDir::new().unwrap();
    let run = LocalRun::start(home.path());

    let answer = run.paste();
    assert!(answer.contains("data: {") && answer.trim_end().ends_with("data: [DONE]"), "{answer}");

    let sdk = root().join("tests/sdk");
    let node = root().join("node_modules/.bin/node");
    for script in ["openai.mjs", "anthropic.mjs", "google.mjs"] {
        drive(&run, Command::new(&node).arg(script).current_dir(&sdk));
    }
    drive(&run, Command::new(sdk.join(".venv/bin/python")).arg("openai_python.py").current_dir(&sdk));

    // Through wrangler's own queue, as wrangler.toml binds it.
    let is_counted =
        |used: &str| ["gpt-example", "claude-", "gemini-"].iter().all(|model| used.contains(model));
    let mut used = run.used();
    for _ in 0..120 {
        if is_counted(&used) {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
        used = run.used();
    }
    assert!(is_counted(&used), "{used}");
    assert!(used.contains("OUTPUT") && used.contains("COST USD"), "{used}");

    assert!(run.stop(), "it did not end well");
}

#[test]
fn the_second_run_keeps_the_token_even_if_kv_was_wiped_and_keys_are_private() {
    let _alone = alone();
    let home = TempDir::new().unwrap();
    let first = LocalRun::start(home.path());
    let token = first.token().to_owned();
    assert!(first.stop());

    for file in ["keys.env", "edge.env", "demo.env"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(home.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }

    std::fs::remove_dir_all(home.path().join("edge")).unwrap();
    let second = LocalRun::start(home.path());
    assert_eq!(second.token(), token);
    assert!(second.paste().contains("[DONE]"));
    for base in [&second.edge, &second.control_plane] {
        assert!(reachable(base));
    }
    let (edge, control_plane) = (second.edge.clone(), second.control_plane.clone());
    assert!(second.stop());
    assert!(!reachable(&edge) && !reachable(&control_plane), "something goes on running");
}

fn drive(run: &LocalRun, command: &mut Command) {
    let mut bad = run.token().to_owned();
    bad.pop();
    let output =
        command.env("BASE_URL", &run.edge).env("TOKEN", run.token()).env("BAD_TOKEN", bad).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}");
    assert!(said.contains(": ok"), "{said}");
}

fn reachable(base: &str) -> bool {
    let address = base.strip_prefix("http://").unwrap().parse().unwrap();
    std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}
