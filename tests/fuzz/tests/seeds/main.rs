//! The seeds that fuzzing starts from, and what of it needs no fuzzer: every
//! committed input, and every seed with a huge length wherever one could be.
//! `UPDATE_SEEDS=1 cargo test -p latchkey-fuzz` writes the seeds anew.
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

mod made;

use latchkey_fuzz::TARGETS;
use made::{Seed, seeds};
use std::fs;
use std::path::{Path, PathBuf};

/// The longest varint that postcard takes: `u64::MAX`.
const HUGE_VARINT: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target)
}

/// A seed that is refused leads the fuzzer nowhere: so these follow the formats.
#[test]
fn seeds_are_up_to_date_and_accepted() {
    for Seed { target, name, content } in seeds() {
        let path = folder(target).join(name);
        if std::env::var_os("UPDATE_SEEDS").is_some() {
            fs::create_dir_all(folder(target)).unwrap();
            fs::write(&path, &content).unwrap();
        }
        let committed = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(committed, content, "{target}/{name}: UPDATE_SEEDS=1 writes it anew");
        let (_, run) = TARGETS.into_iter().find(|(known, _)| *known == target).unwrap();
        assert!(run(&content), "{target}/{name} was refused");
    }
}

/// Also what the fuzzer once found, which is kept beside the seeds.
#[test]
fn every_committed_input_is_survived() {
    for (target, run) in TARGETS {
        let inputs: Vec<_> = fs::read_dir(folder(target)).unwrap().collect();
        assert!(!inputs.is_empty(), "{target} has no seed");
        for input in inputs {
            run(&fs::read(input.unwrap().path()).unwrap());
        }
    }
}

#[test]
fn no_claimed_length_is_believed() {
    for Seed { target, content, .. } in seeds() {
        let (_, run) = TARGETS.into_iter().find(|(known, _)| *known == target).unwrap();
        for at in 0..content.len() {
            for huge in [&HUGE_VARINT[..], &[0xff, 0xff, 0xff, 0x7f], b"18446744073709551615"] {
                run(&[&content[..at], huge, &content[at + 1..]].concat());
                let over = &content[(at + huge.len()).min(content.len())..];
                run(&[&content[..at], huge, over].concat());
            }
        }
    }
}
