//! Golden files: wire forms as they are in the hands of others. A test that
//! fails here says that a format changed; a new format gets a new name and
//! version instead. `UPDATE_GOLDEN=1 cargo test -p shared` writes new ones.

use std::path::Path;

pub(crate) fn assert(name: &str, actual: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(actual == expected, "{name} changed: {:?}", String::from_utf8_lossy(actual));
}
