use super::*;
use crate::store::sinks::SecretCount;

const NOW: UnixMs = 1_795_444_000_000;

fn id(byte: u8) -> KeyId {
    KeyId([byte; 8])
}

fn seal(encryption: u8, edge: u8, credentials: i64) -> SealCount {
    SealCount {
        encryption_key: id(encryption).to_string(),
        edge_key: id(edge).to_string(),
        credentials,
        last_updated_at: NOW.cast_signed() - 1_000,
    }
}

fn secret(encryption: u8, sinks: i64) -> SecretCount {
    SecretCount { encryption_key: id(encryption).to_string(), sinks }
}

fn tag(key: Option<u8>, tokens: i64, endless: i64, last_expires_at: Option<i64>) -> TagCount {
    let tag_key = key.map(|byte| id(byte).to_string());
    TagCount { tag_key, tokens, endless, last_expires_at, last_created_at: NOW.cast_signed() }
}

/// Rank, count and verdict of each key, by the byte of its id.
fn judged(standing: &KindStanding) -> Vec<(Option<u8>, Rank, u64, Verdict)> {
    let byte = |key: &KeyStanding| key.id.as_ref().map(|id| u8::from_str_radix(&id[..2], 16).unwrap());
    standing.keys.iter().map(|key| (byte(key), key.rank, key.needed_by, key.verdict)).collect()
}

#[test]
fn an_encryption_key_may_go_when_no_credential_needs_it() {
    let tally =
        Tally { seals: vec![seal(1, 5, 2), seal(2, 5, 3), seal(9, 5, 1), seal(9, 6, 4)], ..Tally::default() };
    let listed = Listed {
        encryption: vec![id(1), id(2), id(3), id(1)],
        edge_credential: vec![id(5)],
        ..Listed::default()
    };
    let standing = encryption(&tally, &listed);
    assert_eq!(
        judged(&standing),
        [
            (Some(1), Rank::First, 2, Verdict::Keep),
            (Some(2), Rank::Listed, 3, Verdict::Keep),
            (Some(3), Rank::Listed, 0, Verdict::Removable),
            (Some(9), Rank::NotListed, 5, Verdict::Problem),
        ]
    );
    assert!(standing.keys[1].advice.contains("reseal"));
    assert!(standing.keys[3].advice.contains("gets 1 back"), "{}", standing.keys[3].advice);
}

#[test]
fn an_encryption_key_may_go_when_no_sink_needs_it() {
    let tally = Tally {
        seals: vec![seal(1, 5, 2)],
        sink_secrets: vec![secret(1, 1), secret(2, 3), secret(9, 4)],
        ..Tally::default()
    };
    let standing = encryption(&tally, &Listed { encryption: vec![id(1), id(2)], ..Listed::default() });
    assert_eq!(
        judged(&standing),
        [
            (Some(1), Rank::First, 3, Verdict::Keep),
            (Some(2), Rank::Listed, 3, Verdict::Keep),
            (Some(9), Rank::NotListed, 4, Verdict::Problem),
        ]
    );
    assert!(standing.keys[0].advice.ends_with("2 credentials and 1 sink"), "{}", standing.keys[0].advice);
    assert!(standing.keys[2].advice.starts_with("0 credentials and 4 sinks;"), "{}", standing.keys[2].advice);
}

#[test]
fn an_edge_key_may_go_when_edges_know() {
    let verdict = |seals: Vec<SealCount>, pending: u64, now: UnixMs| {
        let standing = edge_credential(&Tally { seals, pending, now, ..Tally::default() }, &[id(1), id(2)]);
        judged(&standing)[1].3
    };
    let later = NOW + UNTIL_EDGES_HAVE_IT_MS;
    assert_eq!(verdict(vec![seal(5, 1, 2)], 0, NOW), Verdict::Keep);
    assert_eq!(verdict(vec![seal(5, 1, 2)], 0, later), Verdict::Removable);
    assert_eq!(verdict(vec![seal(5, 1, 2)], 1, later), Verdict::Keep);
    assert_eq!(verdict(vec![seal(5, 1, 2), seal(5, 2, 1)], 0, later), Verdict::Keep);
    assert_eq!(verdict(vec![], 0, NOW), Verdict::Removable);
    let lost = edge_credential(&Tally { seals: vec![seal(5, 7, 1)], ..Tally::default() }, &[id(1)]);
    assert_eq!(judged(&lost)[1], (Some(7), Rank::NotListed, 1, Verdict::Problem));
}

#[test]
fn a_tag_key_may_go_when_its_tokens_have_ended() {
    let standing = |tags: Vec<TagCount>| token_tag(&Tally { tags, ..Tally::default() }, &[id(1), id(2)]);
    assert_eq!(judged(&standing(vec![tag(Some(1), 3, 0, None)]))[1].3, Verdict::Removable);
    let in_use = standing(vec![tag(Some(2), 3, 1, Some(NOW.cast_signed()))]);
    assert_eq!(judged(&in_use)[1], (Some(2), Rank::Listed, 3, Verdict::Keep));
    let advice = &in_use.keys[1].advice;
    assert!(advice.contains("until 2026-") && advice.contains("but 1 for ever"), "{advice}");

    let unknown = standing(vec![tag(None, 4, 0, Some(NOW.cast_signed()))]);
    assert_eq!(judged(&unknown)[1].3, Verdict::Keep);
    assert_eq!(judged(&unknown)[2], (None, Rank::Unknown, 4, Verdict::Keep));

    let lost = standing(vec![tag(Some(7), 4, 0, Some(NOW.cast_signed()))]);
    assert_eq!(judged(&lost)[2], (Some(7), Rank::NotListed, 4, Verdict::Problem));
}

#[test]
fn a_signing_key_may_go_when_another_signed_what_is_in_kv() {
    let verdicts = |in_kv: InKv| -> Vec<Verdict> {
        judged(&snapshot_signing(&[id(1), id(2)], &in_kv)).into_iter().map(|(.., verdict)| verdict).collect()
    };
    assert_eq!(verdicts(InKv::SignedBy(id(1))), [Verdict::Keep, Verdict::Removable]);
    assert_eq!(verdicts(InKv::SignedBy(id(2))), [Verdict::Keep, Verdict::Keep]);
    assert_eq!(verdicts(InKv::Unknown("KV does not answer".into())), [Verdict::Keep, Verdict::Keep]);
    assert_eq!(verdicts(InKv::Missing), [Verdict::Keep, Verdict::Keep]);
    assert_eq!(verdicts(InKv::SignedBy(id(7)))[2], Verdict::Problem);
}
