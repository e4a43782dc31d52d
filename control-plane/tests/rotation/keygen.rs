use std::path::Path;
use std::process::Command;

fn keygen(name: Option<&str>) -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_latchkey")).arg("keygen").args(name).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.lines().map(|line| pair(line).unwrap()).collect()
}

#[test]
fn one_key_is_printed_as_its_variable() {
    let all = keygen(None);
    assert_eq!(all.len(), 7);
    for (name, old) in all.iter().filter(|(name, _)| name != "SNAPSHOT_VERIFY_KEY") {
        for spelling in [name.clone(), name.to_lowercase().replace('_', "-")] {
            let new = keygen(Some(&spelling));
            assert_eq!(&new[0].0, name);
            assert_ne!(&new[0].1, old);
            assert_eq!(new.len(), if name == "SNAPSHOT_SIGNING_KEY" { 2 } else { 1 }, "{name}");
        }
    }
    assert_eq!(keygen(Some("snapshot-signing-key"))[1].0, "SNAPSHOT_VERIFY_KEY");
}

/// The shell functions of `docs/operations.md`, as they stand there.
#[test]
fn the_documented_way_lists_a_key_first_and_takes_the_last_away() {
    let page = include_str!("../../../docs/operations.md");
    let functions = page.split("```sh\n").find(|block| block.starts_with("value()")).unwrap();
    let functions = functions.split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let latchkey = Path::new(env!("CARGO_BIN_EXE_latchkey")).parent().unwrap();
    let path = format!("{}:{}", latchkey.display(), std::env::var("PATH").unwrap());
    let shell = |script: &str| {
        let script = format!("set -euo pipefail\n{functions}\n{script}");
        let mut command = Command::new("bash");
        let output = command.args(["-c", &script]).current_dir(&folder).env("PATH", &path).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    shell("latchkey keygen > keys.env");
    let before = shell("cat keys.env");
    let names: Vec<&str> = before.lines().map(|line| line.split_once('=').unwrap().0).collect();
    for name in names.iter().filter(|name| **name != "SNAPSHOT_VERIFY_KEY") {
        shell(&format!("list_first {name}"));
    }
    for name in &names {
        let old = shell(&format!("value {name}; drop_last {name}"));
        let (new, old) = old.trim().split_once(',').unwrap();
        assert!(before.contains(&format!("{name}={old}\n")) && new != old, "{name}");
        assert_eq!(shell(&format!("value {name}")).trim(), new);
    }
}
