//! What a sink of kind `file` has written.

use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// The ids in all files of `folder`. Each may be there more than once, and a
/// line without an end is one that was cut off, which comes again.
pub fn ids(folder: &Path) -> HashSet<String> {
    let mut ids = HashSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let event: Value = serde_json::from_str(line).unwrap();
            ids.insert(event["id"].as_str().unwrap().to_owned());
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn of_all_files_whole_lines_count() {
        let folder = TempDir::new().unwrap();
        let write = |name, text| fs::write(folder.path().join(name), text).unwrap();
        write("a.1.jsonl", "{\"id\":\"1\"}\n{\"id\":\"2\"}\n{\"id\":\"2\"}\n{\"id\":\"3\"}");
        write("a.2.jsonl", "{\"id\":\"4\"}\n");
        assert_eq!(ids(folder.path()), ["1", "2", "4"].map(str::to_owned).into());
    }
}
