//! `latchkey sinks`

use super::client::{Client, Place};
use super::snapshot::{Output, json};
use super::table::{self, Column, text};
use super::{Failure, block_on, print};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// More than there can be.
const PAGE: usize = 100;

/// What is longer is no secret.
const MOST_READ: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say which sinks there are and how far each is
    List(Common),
    /// Add a sink: it gets what is counted from now on
    Add(Add),
    /// Say all of one sink but its secret
    Show(One),
    /// Change a sink; it goes on after what it had
    Set(Set),
    /// Have a made-up event delivered, and say what came of it
    Test(One),
    /// Remove a sink and its dead letters
    Remove(One),
}

#[derive(Debug, Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The sink's name or id
    sink: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    name: String,
    /// `file`, `webhook`, `lunary` or `helicone`
    #[arg(long)]
    kind: String,
    #[command(flatten)]
    fields: Fields,
    /// Deliver nothing yet
    #[arg(long)]
    inactive: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// The sink's name or id
    sink: String,
    /// Another name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    fields: Fields,
    /// Whether it delivers
    #[arg(long)]
    active: Option<bool>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Fields {
    /// JSON, all of them, for example `{"url": "https://example.com/events"}`
    #[arg(long, value_parser = object)]
    settings: Option<Map<String, Value>>,
    /// A file with the secret; `-` reads it from standard input
    #[arg(long)]
    secret_file: Option<PathBuf>,
    /// How many events a delivery has at most
    #[arg(long)]
    batch_size: Option<u64>,
    /// How long a delivery may take
    #[arg(long)]
    timeout_seconds: Option<u64>,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let (Command::List(common)
    | Command::Add(Add { common, .. })
    | Command::Set(Set { common, .. })
    | Command::Show(One { common, .. })
    | Command::Test(One { common, .. })
    | Command::Remove(One { common, .. })) = command;
    let client = Client::new(&common.place)?;
    let output = common.output;
    block_on(async {
        match command {
            Command::List(_) => list(&client, output).await,
            Command::Add(add) => {
                let sink = client.call(Method::POST, "sinks", Some(&add.body()?)).await?.ok()?;
                tell(&sink, output)
            }
            Command::Show(one) => tell(&find(&client, &one.sink).await?, output),
            Command::Set(set) => {
                let path = path(&find(&client, &set.sink).await?);
                tell(&client.call(Method::PATCH, &path, Some(&set.body()?)).await?.ok()?, output)
            }
            Command::Test(one) => test(&client, &one.sink, output).await,
            Command::Remove(one) => {
                let sink = find(&client, &one.sink).await?;
                client.call(Method::DELETE, &path(&sink), None).await?.ok()?;
                if output.json {
                    return json(&sink);
                }
                print(format_args!("removed {}", text(&sink, "name")));
                Ok(())
            }
        }
    })?
}

/// The sink of this name or id.
pub(super) async fn find(client: &Client, sink: &str) -> Result<Value, Failure> {
    let sinks = client.list("sinks", &[], PAGE, PAGE).await?;
    let mut found = sinks.into_iter().filter(|each| each["id"] == sink || each["name"] == sink);
    found.next().ok_or_else(|| {
        Failure::new(format!("there is no sink `{sink}`; `latchkey sinks list` says which there are"))
    })
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let sinks = client.list("sinks", &[], PAGE, PAGE).await?;
    if output.json {
        return sinks.iter().try_for_each(json);
    }
    if sinks.is_empty() {
        print("there are no sinks");
        return Ok(());
    }
    table::lines(&columns(), &sinks, &[]).iter().for_each(print);
    Ok(())
}

async fn test(client: &Client, sink: &str, output: Output) -> Result<(), Failure> {
    let path = format!("{}/test", path(&find(client, sink).await?));
    let tested = client.call(Method::POST, &path, None).await?.ok()?;
    if output.json {
        json(&tested)?;
    }
    if tested["is_delivered"] != true {
        return Err(Failure::new(format!("it was not delivered: {}", text(&tested, "error"))));
    }
    if !output.json {
        print(format_args!("delivered in {} ms", text(&tested, "took_ms")));
    }
    Ok(())
}

fn path(sink: &Value) -> String {
    format!("sinks/{}", text(sink, "id"))
}

fn tell(sink: &Value, output: Output) -> Result<(), Failure> {
    if output.json {
        return json(sink);
    }
    let state = &sink["state"];
    for object in [sink, state] {
        let fields = object.as_object().into_iter().flat_map(Map::keys);
        for field in fields.filter(|field| *field != "state") {
            print(format_args!("{field:<16} {}", text(object, field)));
        }
    }
    Ok(())
}

fn columns() -> [Column; 9] {
    let words = |title, text| Column { title, is_number: false, text };
    let number = |title, text| Column { title, is_number: true, text };
    [
        words("NAME", |sink| text(sink, "name")),
        words("KIND", |sink| text(sink, "kind")),
        words("ACTIVE", |sink| if sink["is_active"] == true { "yes" } else { "no" }.to_owned()),
        number("BEHIND", |sink| text(&sink["state"], "lag_events")),
        number("SECONDS", |sink| text(&sink["state"], "lag_seconds")),
        number("DELIVERED", |sink| text(&sink["state"], "delivered")),
        number("SKIPPED", |sink| text(&sink["state"], "skipped")),
        number("DEAD LETTERS", |sink| text(&sink["state"], "dead_letters")),
        words("ERROR", |sink| text(&sink["state"], "error")),
    ]
}

impl Add {
    fn body(&self) -> Result<Value, Failure> {
        let mut body = self.fields.body()?;
        body.insert("name".to_owned(), self.name.as_str().into());
        body.insert("kind".to_owned(), self.kind.as_str().into());
        body.insert("is_active".to_owned(), (!self.inactive).into());
        Ok(body.into())
    }
}

impl Set {
    fn body(&self) -> Result<Value, Failure> {
        let mut body = self.fields.body()?;
        body.extend(self.name.as_ref().map(|name| ("name".to_owned(), name.as_str().into())));
        body.extend(self.active.map(|active| ("is_active".to_owned(), active.into())));
        Ok(body.into())
    }
}

impl Fields {
    /// What is given.
    fn body(&self) -> Result<Map<String, Value>, Failure> {
        let secret = self.secret_file.as_deref().map(read_secret).transpose()?;
        let fields = [
            ("settings", self.settings.clone().map(Value::from)),
            ("secret", secret.map(Value::from)),
            ("batch_size", self.batch_size.map(Value::from)),
            ("timeout_seconds", self.timeout_seconds.map(Value::from)),
        ];
        Ok(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("must be a JSON object: {error}"))
}

fn read_secret(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(MOST_READ).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(MOST_READ).read_to_string(&mut text))
    };
    read.map_err(|error| {
        Failure::new(format!("the secret cannot be read from {}: {error}", path.display()))
    })?;
    Ok(text.trim().to_owned())
}
