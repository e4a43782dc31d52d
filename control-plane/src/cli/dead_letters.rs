//! `latchkey dead-letters`

use super::client::Client;
use super::sinks::{self, Common};
use super::snapshot::{Output, json};
use super::table::{self, Column, text};
use super::{Failure, block_on, print};
use clap::{Args, Subcommand};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

const PAGE: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say which there are, newest first
    List(List),
    /// Show one with its event
    Show(One),
    /// Deliver the event of one now, or of all, one after the other
    Replay(Replay),
    /// Discard one: its sink will not get this event
    Discard(One),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only of this sink, by name or id
    #[arg(long)]
    sink: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct One {
    id: Uuid,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<Uuid>,
    /// All that there are; stops where a sink takes nothing
    #[arg(long)]
    all: bool,
    /// With --all: only of this sink, by name or id
    #[arg(long, requires = "all")]
    sink: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// What became of all.
#[derive(Debug, Default, Serialize)]
struct Replayed {
    delivered: u64,
    refused: u64,
    /// Their events are no longer kept.
    gone: u64,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let (Command::List(List { common, .. })
    | Command::Show(One { common, .. })
    | Command::Replay(Replay { common, .. })
    | Command::Discard(One { common, .. })) = command;
    let client = Client::new(&common.place)?;
    let output = common.output;
    block_on(async {
        match command {
            Command::List(of) => list(&client, of, output).await,
            Command::Show(one) => show(&client, one.id, output).await,
            Command::Replay(Replay { id: Some(id), .. }) => {
                let path = format!("dead-letters/{id}/replay");
                client.call(Method::POST, &path, None).await?.ok()?;
                say(&Replayed { delivered: 1, ..Replayed::default() }, output)
            }
            Command::Replay(all) => replay_all(&client, all.sink.as_deref(), output).await,
            Command::Discard(one) => {
                let path = format!("dead-letters/{}", one.id);
                client.call(Method::DELETE, &path, None).await?.ok().map(drop)
            }
        }
    })?
}

async fn list(client: &Client, of: &List, output: Output) -> Result<(), Failure> {
    let query = query(client, of.sink.as_deref()).await?;
    let found = client.list("dead-letters", &query, PAGE, of.limit.max(1)).await?;
    if output.json {
        return found.iter().try_for_each(json);
    }
    if found.is_empty() {
        print("there are no dead letters");
        return Ok(());
    }
    table::lines(&columns(), &found, &[]).iter().for_each(print);
    Ok(())
}

async fn show(client: &Client, id: Uuid, output: Output) -> Result<(), Failure> {
    let found = client.get(&format!("dead-letters/{id}"), &[]).await?;
    if output.json {
        return json(&found);
    }
    print(format_args!("sink    {}", text(&found["sink"], "name")));
    print(format_args!("since   {}", text(&found, "created_at")));
    print(format_args!("reason  {}", text(&found, "reason")));
    let event = match &found["event"] {
        Value::Null => format!("{}, no longer kept", text(&found, "event_id")),
        event => serde_json::to_string_pretty(event).map_err(Failure::new)?,
    };
    print(format_args!("event   {event}"));
    Ok(())
}

/// Those that there are now; what becomes one meanwhile is left.
async fn replay_all(client: &Client, sink: Option<&str>, output: Output) -> Result<(), Failure> {
    let query = query(client, sink).await?;
    let (mut replayed, mut cursor) = (Replayed::default(), None);
    loop {
        let page;
        (page, cursor) = client.page("dead-letters", &query, PAGE, cursor).await?;
        for letter in page {
            replay(client, &letter, &mut replayed).await?;
        }
        if cursor.is_none() {
            break;
        }
    }
    say(&replayed, output)?;
    match replayed.refused + replayed.gone {
        0 => Ok(()),
        left => Err(Failure::new(format!("{left} dead letters stay: `latchkey dead-letters list` says why"))),
    }
}

async fn replay(client: &Client, letter: &Value, replayed: &mut Replayed) -> Result<(), Failure> {
    let path = format!("dead-letters/{}/replay", text(letter, "id"));
    let answer = client.call(Method::POST, &path, None).await?;
    match answer.status {
        StatusCode::BAD_GATEWAY => replayed.refused += 1,
        StatusCode::GONE => replayed.gone += 1,
        // Somebody was faster.
        StatusCode::NOT_FOUND => {}
        _ => {
            let name = text(&letter["sink"], "name");
            answer.ok().map_err(|Failure { message, code }| Failure {
                message: format!("sink {name}: {message}; {} were delivered before", replayed.delivered),
                code,
            })?;
            replayed.delivered += 1;
        }
    }
    Ok(())
}

fn say(replayed: &Replayed, output: Output) -> Result<(), Failure> {
    if output.json {
        return json(replayed);
    }
    let Replayed { delivered, refused, gone } = replayed;
    print(format_args!("delivered {delivered}, refused again {refused}, no longer kept {gone}"));
    Ok(())
}

async fn query(client: &Client, sink: Option<&str>) -> Result<Vec<(&'static str, String)>, Failure> {
    let Some(sink) = sink else { return Ok(Vec::new()) };
    Ok(vec![("sink_id", text(&sinks::find(client, sink).await?, "id"))])
}

fn columns() -> [Column; 5] {
    let words = |title, text| Column { title, is_number: false, text };
    [
        words("SINCE", |letter| text(letter, "created_at")),
        words("SINK", |letter| text(&letter["sink"], "name")),
        words("EVENT", |letter| text(letter, "event_id")),
        words("ID", |letter| text(letter, "id")),
        words("REASON", |letter| text(letter, "reason")),
    ]
}
