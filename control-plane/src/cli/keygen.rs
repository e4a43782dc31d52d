//! `latchkey keygen`: every key, as a dotenv file.

use super::{Failure, print};
use crate::chance::{self, NoRandom};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use shared::snapshot::signed::SnapshotSigner;

pub(super) fn run() -> Result<(), Failure> {
    let keys = dotenv().map_err(Failure::new)?;
    for (name, value) in keys {
        print(format_args!("{name}={value}"));
    }
    Ok(())
}

fn dotenv() -> Result<Vec<(&'static str, String)>, NoRandom> {
    let key = || chance::bytes::<32>().map(|bytes| STANDARD.encode(bytes));
    let signing = chance::bytes::<32>()?;
    let verifying = SnapshotSigner::new(&signing).verifying_key();
    Ok(vec![
        ("MANAGEMENT_TOKEN", URL_SAFE_NO_PAD.encode(chance::bytes::<32>()?)),
        ("ENCRYPTION_KEY", key()?),
        ("SNAPSHOT_SIGNING_KEY", STANDARD.encode(signing)),
        ("SNAPSHOT_VERIFY_KEY", STANDARD.encode(verifying)),
        ("EDGE_CREDENTIAL_KEY", key()?),
        ("TOKEN_TAG_KEY", key()?),
        ("EDGE_INGEST_KEY", key()?),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::collections::HashMap;

    #[test]
    fn what_it_prints_is_accepted() {
        let mut all: HashMap<&str, String> = dotenv().unwrap().into_iter().collect();
        all.insert("KV_API_BASE", "http://127.0.0.1:1".to_owned());
        all.insert("KV_NAMESPACE_ID", "local".to_owned());
        let config = Config::read(&|name| all.get(name).cloned()).unwrap();
        let signer = SnapshotSigner::new(config.keys.snapshot_signing.primary().bytes());
        assert_eq!(STANDARD.encode(signer.verifying_key()), all["SNAPSHOT_VERIFY_KEY"]);
    }
}
