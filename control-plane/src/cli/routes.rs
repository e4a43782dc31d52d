//! `latchkey routes`

use super::client::Client;
use super::sinks::Common;
use super::snapshot::{Output, json};
use super::table::{self, Column, plain, text};
use super::{Failure, block_on, input, print};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value};
use std::path::PathBuf;
use uuid::Uuid;

/// As many as a project has at most.
const PAGE: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say which routes a project has, in the order in which they are judged
    List(Of),
    /// Add a route, at the end unless it has a `position`
    Add(Add),
    /// Say all of one route
    Show(One),
    /// Replace a route; it stays where it is unless it has a `position`
    Set(Set),
    /// Remove a route
    Remove(One),
}

#[derive(Debug, Args)]
pub(super) struct Of {
    /// The project's id
    #[arg(long)]
    project: Uuid,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// A file with the route, JSON as `/manage/projects/{id}/routes` takes it; `-` reads it from standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The route's name or id
    route: String,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// The route's name or id
    route: String,
    /// A file with the whole route, as for `add`
    #[arg(default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    of: Of,
}

/// A project's routes, by way of the management API.
struct Routes {
    client: Client,
    path: String,
    output: Output,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let (Command::List(of)
    | Command::Add(Add { of, .. })
    | Command::Show(One { of, .. })
    | Command::Set(Set { of, .. })
    | Command::Remove(One { of, .. })) = command;
    let routes = Routes {
        client: Client::new(&of.common.place)?,
        path: format!("projects/{}/routes", of.project),
        output: of.common.output,
    };
    block_on(async {
        match command {
            Command::List(_) => routes.list().await,
            Command::Add(add) => {
                let route = input::read("the route", &add.file)?;
                routes.tell(&routes.client.call(Method::POST, &routes.path, Some(&route)).await?.ok()?)
            }
            Command::Show(one) => routes.tell(&routes.find(&one.route).await?),
            Command::Set(set) => {
                let route = input::read("the route", &set.file)?;
                let path = routes.path_of(&routes.find(&set.route).await?);
                routes.tell(&routes.client.call(Method::PUT, &path, Some(&route)).await?.ok()?)
            }
            Command::Remove(one) => routes.remove(&one.route).await,
        }
    })?
}

impl Routes {
    async fn all(&self) -> Result<Vec<Value>, Failure> {
        self.client.list(&self.path, &[], PAGE, PAGE).await
    }

    /// The route of this name or id.
    async fn find(&self, route: &str) -> Result<Value, Failure> {
        let mut found =
            self.all().await?.into_iter().filter(|each| each["id"] == route || each["name"] == route);
        found.next().ok_or_else(|| {
            Failure::new(format!(
                "the project has no route `{route}`; `latchkey routes list` says which it has"
            ))
        })
    }

    fn path_of(&self, route: &Value) -> String {
        format!("{}/{}", self.path, text(route, "id"))
    }

    async fn list(&self) -> Result<(), Failure> {
        let routes = self.all().await?;
        if self.output.json {
            return routes.iter().try_for_each(json);
        }
        if routes.is_empty() {
            print("the project has no routes");
            return Ok(());
        }
        table::lines(&COLUMNS, &routes, &[]).iter().for_each(print);
        Ok(())
    }

    async fn remove(&self, route: &str) -> Result<(), Failure> {
        let route = self.find(route).await?;
        self.client.call(Method::DELETE, &self.path_of(&route), None).await?.ok()?;
        if self.output.json {
            return json(&route);
        }
        print(format_args!("removed {}", text(&route, "name")));
        Ok(())
    }

    fn tell(&self, route: &Value) -> Result<(), Failure> {
        if self.output.json {
            return json(route);
        }
        for field in route.as_object().into_iter().flat_map(Map::keys) {
            print(format_args!("{field:<10} {}", text(route, field)));
        }
        Ok(())
    }
}

const COLUMNS: [Column; 5] = [
    Column { title: "POSITION", is_number: true, text: |route| text(route, "position") },
    Column { title: "NAME", is_number: false, text: |route| text(route, "name") },
    Column { title: "MATCH", is_number: false, text: |route| listed(&route["match"], model) },
    Column { title: "STRATEGY", is_number: false, text: strategy },
    Column { title: "TARGETS", is_number: false, text: |route| listed(&route["targets"], target) },
];

fn strategy(route: &Value) -> String {
    if route["definition"].is_null() { text(route, "strategy") } else { "cannot be read".to_owned() }
}

fn model(pattern: &Value) -> String {
    plain(pattern.as_str().unwrap_or_default())
}

fn target(target: &Value) -> String {
    if target["model"].is_null() {
        return text(target, "provider");
    }
    format!("{} as {}", text(target, "provider"), text(target, "model"))
}

/// `-` where there is no list.
fn listed(list: &Value, item: fn(&Value) -> String) -> String {
    let Some(items) = list.as_array() else { return "-".to_owned() };
    items.iter().map(item).collect::<Vec<_>>().join(", ")
}
