//! `latchkey keygen`: every key, or one, as a dotenv file.

use super::{Failure, print};
use crate::chance::{self, NoRandom};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::{Args, ValueEnum};
use shared::snapshot::signed::SnapshotSigner;

#[derive(Debug, Args)]
pub(super) struct Keygen {
    /// Print only this one, to be listed before the one there is
    #[arg(ignore_case = true)]
    name: Option<Name>,
}

/// The variables that hold keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    #[value(alias = "MANAGEMENT_TOKEN")]
    ManagementToken,
    #[value(alias = "ENCRYPTION_KEY")]
    EncryptionKey,
    /// Prints `SNAPSHOT_VERIFY_KEY` for the worker, too
    #[value(alias = "SNAPSHOT_SIGNING_KEY")]
    SnapshotSigningKey,
    #[value(alias = "EDGE_CREDENTIAL_KEY")]
    EdgeCredentialKey,
    #[value(alias = "TOKEN_TAG_KEY")]
    TokenTagKey,
    #[value(alias = "EDGE_INGEST_KEY")]
    EdgeIngestKey,
}

pub(super) fn run(keygen: &Keygen) -> Result<(), Failure> {
    let names = keygen.name.as_ref().map_or(Name::value_variants(), std::slice::from_ref);
    for name in names {
        for (variable, value) in name.make().map_err(Failure::new)? {
            print(format_args!("{variable}={value}"));
        }
    }
    Ok(())
}

impl Name {
    fn make(self) -> Result<Vec<(&'static str, String)>, NoRandom> {
        let bytes = chance::bytes::<32>()?;
        let key = STANDARD.encode(bytes);
        Ok(match self {
            Self::ManagementToken => vec![("MANAGEMENT_TOKEN", URL_SAFE_NO_PAD.encode(bytes))],
            Self::EncryptionKey => vec![("ENCRYPTION_KEY", key)],
            Self::SnapshotSigningKey => {
                let verify_key = STANDARD.encode(SnapshotSigner::new(&bytes).verifying_key());
                vec![("SNAPSHOT_SIGNING_KEY", key), ("SNAPSHOT_VERIFY_KEY", verify_key)]
            }
            Self::EdgeCredentialKey => vec![("EDGE_CREDENTIAL_KEY", key)],
            Self::TokenTagKey => vec![("TOKEN_TAG_KEY", key)],
            Self::EdgeIngestKey => vec![("EDGE_INGEST_KEY", key)],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::collections::HashMap;

    #[test]
    fn what_it_prints_is_accepted() {
        let made = Name::value_variants().iter().flat_map(|name| name.make().unwrap());
        let mut all: HashMap<&str, String> = made.collect();
        all.insert("KV_API_BASE", "http://127.0.0.1:1".to_owned());
        all.insert("KV_NAMESPACE_ID", "local".to_owned());
        let config = Config::read(&|name| all.get(name).cloned()).unwrap();
        let signer = SnapshotSigner::new(config.keys.snapshot_signing.primary().bytes());
        assert_eq!(STANDARD.encode(signer.verifying_key()), all["SNAPSHOT_VERIFY_KEY"]);
    }

    #[test]
    fn a_key_is_named_as_its_variable_or_as_an_argument() {
        for name in Name::value_variants() {
            let (variable, _) = name.make().unwrap().swap_remove(0);
            for spelling in [variable.to_owned(), variable.to_lowercase().replace('_', "-")] {
                assert_eq!(Name::from_str(&spelling, true), Ok(*name), "{spelling}");
            }
        }
    }
}
