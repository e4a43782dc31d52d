//! Key by key: whether it may go, why, and what to do first.

use super::{InKv, KeyStanding, KindStanding, Listed, Rank, Tally, Verdict};
use crate::store::credentials::SealCount;
use crate::store::tokens::TagCount;
use crate::timestamp::Timestamp;
use shared::id::UnixMs;
use shared::key::KeyId;
use std::collections::BTreeMap;

/// By then every edge has what was published, with much to spare: KV says 60
/// seconds or more, and an isolate looks at it every `SNAPSHOT_REFRESH_MS`.
const UNTIL_EDGES_HAVE_IT_MS: UnixMs = 10 * 60 * 1000;

const KEEP_FOR_BACKUPS: &str = "keep a copy as long as backups that need it";

/// One key, about to be judged.
struct Subject<'a> {
    id: &'a str,
    rank: Rank,
    needed_by: u64,
}

type Advice = (Verdict, String);

pub(super) fn encryption(tally: &Tally, listed: &Listed) -> KindStanding {
    let credentials = tally.seals.iter().map(|seal| (&seal.encryption_key, seal.credentials));
    let sinks = tally.sink_secrets.iter().map(|count| (&count.encryption_key, count.sinks));
    let (uses, by_sinks) = (sum(credentials.chain(sinks.clone())), sum(sinks));
    judged("ENCRYPTION_KEY", &listed.encryption, &uses, |key| {
        let sinks = by_sinks.get(key.id).copied().unwrap_or(0);
        let mut sealed = many(key.needed_by - sinks, "credential");
        if sinks > 0 {
            sealed = format!("{sealed} and {}", many(sinks, "sink"));
        }
        match (key.rank, key.needed_by) {
            (Rank::First, _) => keep(format!("seals what is stored: {sealed}")),
            (Rank::Listed, 0) => removable(format!(
                "no credential and no sink needs it: can be removed now; {KEEP_FOR_BACKUPS}"
            )),
            (Rank::Listed, _) => keep(format!("{sealed}: `latchkey keys reseal` first")),
            (Rank::NotListed | Rank::Unknown, _) => problem(format!(
                "{sealed}; the edge goes on with its own seal, but nothing can be confirmed for another \
                 origin, and no such sink delivers: list the key again after the first; if it is lost, \
                 `latchkey keys reseal` gets {} back from the edge's seal, and each of the others needs its api_key \
                 or secret anew",
                of_these_the_edge_opens(&tally.seals, key.id, &listed.edge_credential)
            )),
        }
    })
}

pub(super) fn edge_credential(tally: &Tally, listed: &[KeyId]) -> KindStanding {
    let uses = sum(tally.seals.iter().map(|seal| (&seal.edge_key, seal.credentials)));
    let last_change = tally.seals.iter().map(|seal| seal.last_updated_at).max().unwrap_or(0);
    let edges_know_at = last_change.cast_unsigned().saturating_add(UNTIL_EDGES_HAVE_IT_MS);
    judged("EDGE_CREDENTIAL_KEY", listed, &uses, |key| {
        let credentials = many(key.needed_by, "credential");
        match (key.rank, key.needed_by) {
            (Rank::First, _) => keep(format!("seals for the edge, which must list it too: {credentials}")),
            (Rank::Listed, 0) if tally.pending > 0 => keep(format!(
                "no credential needs it, but {} not published yet",
                are(tally.pending, "change")
            )),
            (Rank::Listed, 0) if tally.now < edges_know_at => keep(format!(
                "no credential needs it, but not every edge may know: can be removed from {} on",
                Timestamp(edges_know_at)
            )),
            (Rank::Listed, 0) => removable(format!(
                "no credential needs it: can be removed now, from the worker too; {KEEP_FOR_BACKUPS}"
            )),
            (Rank::Listed, _) => keep(format!("{credentials}: `latchkey keys reseal` first")),
            (Rank::NotListed | Rank::Unknown, _) => problem(format!(
                "{credentials}; a worker that does not list it either refuses with 503 upstream_unavailable: \
                 `latchkey keys reseal` seals them with the first key"
            )),
        }
    })
}

pub(super) fn token_tag(tally: &Tally, listed: &[KeyId]) -> KindStanding {
    let unknown = tally.tags.iter().find(|tag| tag.tag_key.is_none());
    let known = || tally.tags.iter().filter_map(|tag| Some((tag.tag_key.as_ref()?, tag)));
    let uses = sum(known().map(|(id, tag)| (id, tag.tokens)));
    let mut standing = judged("TOKEN_TAG_KEY", listed, &uses, |key| {
        let tokens = many(key.needed_by, "valid token");
        let ends = known().find(|(id, _)| *id == key.id).map(|(_, tag)| ends(tag)).unwrap_or_default();
        match (key.rank, key.needed_by) {
            (Rank::First, _) => keep(format!("tags new tokens: {tokens}")),
            (Rank::Listed, 0) if unknown.is_some() => {
                keep("the valid tokens below, of which the key is not known, may need it".to_owned())
            }
            (Rank::Listed, 0) => {
                removable("no valid token needs it: can be removed now, from the worker too".to_owned())
            }
            (Rank::Listed, _) => keep(format!("{tokens}{ends}")),
            (Rank::NotListed | Rank::Unknown, _) => problem(format!(
                "{tokens}{ends}; a worker that does not list it either refuses them as malformed_token: list \
                 the key again after the first, or revoke them and make new ones"
            )),
        }
    });
    standing.keys.extend(unknown.map(|tag| KeyStanding {
        id: None,
        rank: Rank::Unknown,
        needed_by: tag.tokens.cast_unsigned(),
        verdict: Verdict::Keep,
        advice: format!(
            "{}{}; tagged before this was recorded, with a key that was listed then",
            many(tag.tokens.cast_unsigned(), "valid token"),
            ends(tag)
        ),
    }));
    standing
}

pub(super) fn snapshot_signing(listed: &[KeyId], in_kv: &InKv) -> KindStanding {
    let uses = match in_kv {
        InKv::SignedBy(id) => BTreeMap::from([(id.to_string(), 1)]),
        InKv::Missing | InKv::Unknown(_) => BTreeMap::new(),
    };
    judged("SNAPSHOT_SIGNING_KEY", listed, &uses, |key| match (key.rank, key.needed_by, in_kv) {
        (Rank::First, 0, InKv::Unknown(why)) => keep(format!("signs what is published; {why}")),
        (Rank::First, 0, InKv::Missing) => keep("signs what is published; KV has no manifest".to_owned()),
        (Rank::First, 0, InKv::SignedBy(_)) => {
            keep("did not sign the manifest in KV: no control plane has published with it yet".to_owned())
        }
        (Rank::Listed, 0, InKv::SignedBy(_)) => removable(
            "the manifest in KV does not need it: can be removed now, and from the worker's \
             SNAPSHOT_VERIFY_KEY ten minutes after the last control plane began to sign with another"
                .to_owned(),
        ),
        (Rank::Listed, 0, InKv::Missing | InKv::Unknown(_)) => {
            keep("what KV has could not be looked at, so it may be needed".to_owned())
        }
        (Rank::First | Rank::Listed, _, _) => keep("signed the manifest in KV".to_owned()),
        (Rank::NotListed | Rank::Unknown, _, _) => problem(
            "signed the manifest in KV: another control plane with another list publishes into this \
             namespace, or none has published since the list was changed"
                .to_owned(),
        ),
    })
}

pub(super) fn edge_ingest(listed: &[KeyId]) -> KindStanding {
    judged("EDGE_INGEST_KEY", listed, &BTreeMap::new(), |key| match key.rank {
        Rank::First => keep("signs calls between edge and control plane".to_owned()),
        Rank::Listed | Rank::NotListed | Rank::Unknown => keep(
            "nothing is stored under it: can be removed five minutes after both sides list another one first"
                .to_owned(),
        ),
    })
}

pub(super) fn management(listed: &[KeyId]) -> KindStanding {
    judged("MANAGEMENT_TOKEN", listed, &BTreeMap::new(), |key| {
        keep(format!("changes made with it have the actor `management:{}` in the audit log", key.id))
    })
}

/// The listed keys in their order, then those that are needed and not listed.
fn judged(
    name: &'static str,
    listed: &[KeyId],
    uses: &BTreeMap<String, u64>,
    judge: impl Fn(&Subject<'_>) -> Advice,
) -> KindStanding {
    let mut ranked: Vec<(String, Rank)> = Vec::new();
    for id in listed.iter().map(KeyId::to_string) {
        // Listed twice, it is the same key.
        if !ranked.iter().any(|(known, _)| *known == id) {
            let rank = if ranked.is_empty() { Rank::First } else { Rank::Listed };
            ranked.push((id, rank));
        }
    }
    let is_listed = |id: &&String| listed.iter().any(|known| known.to_string() == **id);
    let others: Vec<String> = uses.keys().filter(|id| !is_listed(id)).cloned().collect();
    ranked.extend(others.into_iter().map(|id| (id, Rank::NotListed)));
    let stand = |(id, rank): (String, Rank)| {
        let needed_by = uses.get(&id).copied().unwrap_or(0);
        let (verdict, advice) = judge(&Subject { id: &id, rank, needed_by });
        KeyStanding { id: Some(id), rank, needed_by, verdict, advice }
    };
    KindStanding { name, keys: ranked.into_iter().map(stand).collect() }
}

fn sum<'a>(counts: impl Iterator<Item = (&'a String, i64)>) -> BTreeMap<String, u64> {
    counts.fold(BTreeMap::new(), |mut sums, (id, count)| {
        *sums.entry(id.clone()).or_default() += count.cast_unsigned();
        sums
    })
}

fn of_these_the_edge_opens(seals: &[SealCount], encryption_key: &str, edge_keys: &[KeyId]) -> u64 {
    let is_open = |seal: &&SealCount| {
        seal.encryption_key == encryption_key && edge_keys.iter().any(|id| id.to_string() == seal.edge_key)
    };
    seals.iter().filter(is_open).map(|seal| seal.credentials.cast_unsigned()).sum()
}

/// When the tokens end by themselves, and which do not.
fn ends(tag: &TagCount) -> String {
    let last = tag.last_expires_at.map(|at| Timestamp(at.cast_unsigned()));
    let made = Timestamp(tag.last_created_at.cast_unsigned());
    let endless = tag.endless;
    match (last, endless) {
        (Some(at), 0) => format!(", the last of them until {at}"),
        (Some(at), _) => format!(
            ", the last of them until {at}, but {endless} for ever: replace and revoke those, all made by {made}"
        ),
        (None, _) => format!(", for ever: replace and revoke them, all made by {made}"),
    }
}

fn keep(advice: String) -> Advice {
    (Verdict::Keep, advice)
}

fn removable(advice: String) -> Advice {
    (Verdict::Removable, advice)
}

fn problem(advice: String) -> Advice {
    (Verdict::Problem, advice)
}

fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn are(count: u64, what: &str) -> String {
    format!("{} {}", many(count, what), if count == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests;
