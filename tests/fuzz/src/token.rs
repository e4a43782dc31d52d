//! The text of a token, as a client sends it. Neither checksum nor tag can be
//! guessed, so the target also makes tokens around what it is given.

use crate::keys::TAGS;
use crate::memory::bounded;
use sha2::{Digest, Sha256};
use shared::token::{PREFIX, Token, TokenError};
use uuid::Uuid;

/// Version, id, secret and tag.
const BODY_LEN: usize = 41;

pub fn run(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    read(&text) | checksummed(data) | made(data)
}

/// What is accepted is what the token itself would say.
fn read(text: &str) -> bool {
    let inspected = bounded(text.len(), || Token::inspect(text));
    let Ok(token) = bounded(text.len(), || Token::parse(text, &TAGS)) else { return false };
    assert_eq!(inspected.unwrap().id(), token.id());
    assert_eq!(*token.reveal(&TAGS), text);
    true
}

/// Any content under a right checksum, of which only version and tag are in question.
fn checksummed(data: &[u8]) -> bool {
    let mut body = [0; BODY_LEN];
    let length = data.len().min(BODY_LEN);
    body[..length].copy_from_slice(&data[..length]);
    let text = with_checksum(&body);
    assert_eq!(Token::inspect(&text).is_ok(), body[0] == 1);
    match Token::parse(&text, &TAGS) {
        Ok(token) => assert_eq!(*token.reveal(&TAGS), text),
        Err(error) => assert_eq!(error, if body[0] == 1 { TokenError::Tag } else { TokenError::Version }),
    }
    // Longer or shorter, it is not a token whatever its checksum says.
    let whole = with_checksum(data);
    assert!(data.len() == BODY_LEN || Token::inspect(&whole).is_err());
    read(&text)
}

fn with_checksum(body: &[u8]) -> String {
    let sum = Sha256::digest(Sha256::digest(body));
    format!("{PREFIX}{}", bs58::encode([body, &sum[..4]].concat()).into_string())
}

/// A token made of `data` says what it is made of, and with a character changed nothing.
fn made(data: &[u8]) -> bool {
    let Some((content, rest)) = data.split_first_chunk::<36>() else { return false };
    let (mut id, mut secret) = ([0; 16], [0; 20]);
    id.copy_from_slice(&content[..16]);
    secret.copy_from_slice(&content[16..]);
    let token = Token::new(Uuid::from_bytes(id), secret);
    let text = token.reveal(&TAGS);
    let back = Token::parse(&text, &TAGS).unwrap();
    assert_eq!((back.id(), back.secret_hash()), (token.id(), token.secret_hash()));

    if let [at, to, ..] = *rest {
        let mut changed = text.as_bytes().to_vec();
        let at = usize::from(at) % changed.len();
        changed[at] = to;
        let changed = String::from_utf8_lossy(&changed);
        assert!(changed == *text || Token::parse(&changed, &TAGS).is_err());
    }
    true
}
