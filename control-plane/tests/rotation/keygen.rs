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
