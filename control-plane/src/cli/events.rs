//! `latchkey events`

use super::client::{Client, Place};
use super::snapshot::json;
use super::table::{self, Column, text};
use super::{Failure, block_on, complain, print};
use crate::clock;
use crate::timestamp::Timestamp;
use clap::Args;
use serde_json::Value;
use shared::id::UnixMs;
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;

const PAGE: usize = 100;
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// `--follow` shows events of requests that began at most so long ago.
const FOLLOWED_MS: UnixMs = 10 * 60 * 1000;
/// Pages that it reads at a time; it stops at one with nothing new.
const FOLLOWED_PAGES: u32 = 20;

#[derive(Debug, Args)]
pub(super) struct Events {
    /// Go on and show events as they are counted
    #[arg(long, short)]
    follow: bool,
    /// Only of this project
    #[arg(long)]
    project: Option<Uuid>,
    /// Only of this token
    #[arg(long)]
    token: Option<Uuid>,
    /// Only answered with this status
    #[arg(long)]
    status: Option<u16>,
    /// Only of this model, as requested or as answered
    #[arg(long)]
    model: Option<String>,
    /// Begun at this time or later, for example 2030-01-31T00:00:00Z
    #[arg(long)]
    from: Option<String>,
    /// Begun before this time
    #[arg(long)]
    to: Option<String>,
    /// How many at most, newest first; what `--follow` begins with
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// For programs: one JSON object a line
    #[arg(long)]
    json: bool,
    /// With the bodies that projects have captured
    #[arg(long, requires = "json")]
    bodies: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(events: &Events) -> Result<(), Failure> {
    let client = Client::new(&events.place)?;
    block_on(async {
        let mut found = client.list("events", &query(events), PAGE, events.limit.max(1)).await?;
        if !events.follow {
            return show(events, &found, true);
        }
        found.reverse();
        show(events, &found, true)?;
        follow(events, &client, &found).await
    })?
}

/// Until it is stopped.
async fn follow(events: &Events, client: &Client, shown: &[Value]) -> Result<(), Failure> {
    let mut seen: HashMap<String, UnixMs> = HashMap::new();
    // What was there before and is not among those shown stays unshown.
    for event in unseen(events, client, &seen).await?.iter().chain(shown) {
        seen.insert(text(event, "id"), clock::now());
    }
    let mut is_away = false;
    loop {
        tokio::time::sleep(FOLLOW_EVERY).await;
        let mut found = match unseen(events, client, &seen).await {
            Ok(found) => found,
            // It may be starting again, and what happened meanwhile is to be seen.
            Err(failure) => {
                if !std::mem::replace(&mut is_away, true) {
                    complain(&format!("{}; trying again every second", failure.message));
                }
                continue;
            }
        };
        if std::mem::take(&mut is_away) {
            complain("it answers again");
        }
        found.reverse();
        let now = clock::now();
        seen.retain(|_, at| now.saturating_sub(*at) < 2 * FOLLOWED_MS);
        seen.extend(found.iter().map(|event| (text(event, "id"), now)));
        show(events, &found, false)?;
    }
}

async fn unseen(
    events: &Events,
    client: &Client,
    seen: &HashMap<String, UnixMs>,
) -> Result<Vec<Value>, Failure> {
    let mut query = query(events);
    query.retain(|(name, _)| *name != "from");
    query.push(("from", Timestamp(clock::now().saturating_sub(FOLLOWED_MS)).to_string()));
    let (mut found, mut cursor) = (Vec::new(), None);
    for _ in 0..FOLLOWED_PAGES {
        let mut page;
        (page, cursor) = client.page("events", &query, PAGE, cursor).await?;
        page.retain(|event| !seen.contains_key(&text(event, "id")));
        let has_news = !page.is_empty();
        found.extend(page);
        if !has_news || cursor.is_none() {
            break;
        }
    }
    Ok(found)
}

fn query(events: &Events) -> Vec<(&'static str, String)> {
    let mut query = Vec::new();
    query.extend(events.project.map(|id| ("project_id", id.to_string())));
    query.extend(events.token.map(|id| ("token_id", id.to_string())));
    query.extend(events.status.map(|status| ("status", status.to_string())));
    query.extend(events.model.clone().map(|model| ("model", model)));
    query.extend(events.from.clone().map(|from| ("from", from)));
    query.extend(events.to.clone().map(|to| ("to", to)));
    query.extend(events.bodies.then(|| ("bodies", "true".to_owned())));
    query
}

fn show(events: &Events, found: &[Value], with_titles: bool) -> Result<(), Failure> {
    if events.json {
        return found.iter().try_for_each(json);
    }
    // So that lines which come later stand under the titles.
    let lines = table::lines(&columns(), found, &[24, 3, 9, 12, 20, 6, 6, 10, 6]);
    for line in lines.iter().skip(usize::from(!with_titles)) {
        print(line);
    }
    Ok(())
}

fn columns() -> [Column; 11] {
    let words = |title, text| Column { title, is_number: false, text };
    let number = |title, text| Column { title, is_number: true, text };
    [
        words("STARTED", |event| text(event, "started_at")),
        number("STATUS", |event| text(event, "status")),
        words("END", |event| text(event, "completion")),
        words("PROVIDER", |event| text(event, "provider")),
        words("MODEL", |event| {
            if event["model"].is_null() { text(event, "model_requested") } else { text(event, "model") }
        }),
        number("INPUT", |event| text(event, "input_tokens")),
        number("OUTPUT", |event| text(event, "output_tokens")),
        number("COST USD", |event| text(event, "cost_usd")),
        number("MS", took),
        words("ERROR", |event| text(event, "error_code")),
        words("ID", |event| text(event, "id")),
    ]
}

fn took(event: &Value) -> String {
    let at =
        |field: &str| serde_json::from_value::<Timestamp>(event[field].clone()).map_or(0, |Timestamp(at)| at);
    at("ended_at").saturating_sub(at("started_at")).to_string()
}
