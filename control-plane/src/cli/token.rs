//! `latchkey token inspect`

use super::{Failure, environment, print};
use crate::config;
use crate::timestamp::Timestamp;
use clap::{Args, Subcommand};
use serde_json::json;
use shared::id::{self, UnixMs};
use shared::token::{TagKeys, Token};
use std::fmt::Write as _;
use std::io::Read as _;
use uuid::Uuid;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say what a token, or its id, tells by itself: nothing is looked up
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The token or its id; `-` reads it from standard input, so that it stays out of the shell's history
    #[arg(default_value = "-")]
    token: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a token tells without a database.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    id: Uuid,
    issued_at: UnixMs,
    /// `None`: only an id was given.
    checksum_ok: Option<bool>,
    /// `None`: `TOKEN_TAG_KEY` is not set, or only an id was given.
    tag_ok: Option<bool>,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let Command::Inspect(inspect) = command;
    let tags = config::token_tag_key(&environment)?.map(|keys| TagKeys::from(&keys));
    let text = if inspect.token == "-" { read_input()? } else { inspect.token.clone() };
    let finding = find(text.trim(), tags.as_ref()).map_err(Failure::new)?;
    print(if inspect.json { as_json(&finding) } else { as_text(&finding)? });
    Ok(())
}

fn read_input() -> Result<String, Failure> {
    let mut text = String::new();
    // A token has 68 characters; more input is not one.
    std::io::stdin().take(4096).read_to_string(&mut text).map_err(Failure::new)?;
    Ok(text)
}

fn find(text: &str, tags: Option<&TagKeys>) -> Result<Finding, String> {
    let no_time = "the id is not a UUIDv7, so no time is in it".to_owned();
    if let Ok(id) = Uuid::try_parse(text) {
        let issued_at = id::issued_at(id).ok_or(no_time)?;
        return Ok(Finding { id, issued_at, checksum_ok: None, tag_ok: None });
    }
    let token = Token::inspect(text).map_err(|error| error.to_string())?;
    Ok(Finding {
        id: token.id(),
        issued_at: token.issued_at().ok_or(no_time)?,
        checksum_ok: Some(true),
        tag_ok: tags.map(|tags| Token::parse(text, tags).is_ok()),
    })
}

fn as_json(finding: &Finding) -> String {
    let Finding { id, issued_at, checksum_ok, tag_ok } = finding;
    let issued_at = Timestamp(*issued_at);
    json!({ "id": id, "issued_at": issued_at, "checksum_ok": checksum_ok, "tag_ok": tag_ok }).to_string()
}

fn as_text(finding: &Finding) -> Result<String, Failure> {
    let mut text = format!("id         {}\nissued at  {}", finding.id, Timestamp(finding.issued_at));
    if finding.checksum_ok == Some(true) {
        text.push_str("\nchecksum   ok");
        let tag = match finding.tag_ok {
            Some(true) => "ok",
            Some(false) => "wrong: not issued by this deployment",
            None => "not checked: set TOKEN_TAG_KEY",
        };
        write!(text, "\ntag        {tag}").map_err(Failure::new)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::key::{Key, KeyRing};

    fn keys(byte: u8) -> TagKeys {
        TagKeys::from(&KeyRing::from(Key::new([byte; 32])))
    }

    #[test]
    fn tells_id_time_and_tag() {
        let token = Token::new(id::new(1_795_444_000_000, &[7; 10]), [9; 20]);
        let text = token.reveal(&keys(1));
        let expected = |tag_ok| Finding {
            id: token.id(),
            issued_at: 1_795_444_000_000,
            checksum_ok: Some(true),
            tag_ok,
        };
        assert_eq!(find(&text, None).unwrap(), expected(None));
        assert_eq!(find(&text, Some(&keys(1))).unwrap(), expected(Some(true)));
        assert_eq!(find(&text, Some(&keys(2))).unwrap(), expected(Some(false)));
        let by_id = find(&token.id().to_string(), Some(&keys(1))).unwrap();
        assert_eq!(by_id, Finding { checksum_ok: None, ..expected(None) });
        assert!(as_json(&by_id).contains("2026-11-23T14:26:40Z"));
    }

    #[test]
    fn what_is_no_token_is_said() {
        for bad in ["", "sk-lk-", "sk-other", "00000000-0000-0000-0000-000000000000"] {
            assert!(find(bad, None).is_err(), "{bad}");
        }
    }
}
