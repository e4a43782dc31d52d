//! `latchkey usage`

use super::client::{Client, Place};
use super::snapshot::json;
use super::table::{self, Column, text};
use super::{Failure, block_on, print};
use clap::Args;
use serde_json::{Value, json};
use std::collections::HashMap;
use uuid::Uuid;

/// Groups of one report; more than a person reads.
const MOST: usize = 1_000_000;
const PAGE: usize = 10_000;

#[derive(Debug, Args)]
pub(super) struct Usage {
    /// Groups: any of project, token, provider, model, and one of hour and day, separated by commas
    #[arg(long, default_value = "project,token,model")]
    by: String,
    /// From this time on, for example 2030-01-31T00:00:00Z; 29 days before today unless given
    #[arg(long)]
    from: Option<String>,
    /// Up to this time; now unless given
    #[arg(long)]
    to: Option<String>,
    /// Only of this project
    #[arg(long)]
    project: Option<Uuid>,
    /// Only of this token
    #[arg(long)]
    token: Option<Uuid>,
    /// For programs: one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(usage: &Usage) -> Result<(), Failure> {
    let client = Client::new(&usage.place)?;
    block_on(async {
        let query = query(usage);
        let groups = client.list("usage", &query, PAGE, MOST).await?;
        if usage.json {
            return json(&json!({ "data": groups }));
        }
        let status = client.get("events/status", &[]).await?;
        let groups = with_names(&client, groups).await?;
        tell(&groups, &status);
        Ok(())
    })?
}

fn query(usage: &Usage) -> Vec<(&'static str, String)> {
    let mut query = vec![("group_by", usage.by.clone())];
    query.extend(usage.from.clone().map(|from| ("from", from)));
    query.extend(usage.to.clone().map(|to| ("to", to)));
    query.extend(usage.project.map(|id| ("project_id", id.to_string())));
    query.extend(usage.token.map(|id| ("token_id", id.to_string())));
    query
}

/// Names beside ids, of the projects and the first tokens.
async fn with_names(client: &Client, mut groups: Vec<Value>) -> Result<Vec<Value>, Failure> {
    let mut names: HashMap<String, String> = HashMap::new();
    for list in ["projects", "tokens"] {
        let is_wanted = groups.iter().any(|group| group[id_field(list)].is_string());
        if is_wanted {
            for each in client.list(list, &[], 100, 1_000).await? {
                names.insert(text(&each, "id"), text(&each, "name"));
            }
        }
    }
    for group in &mut groups {
        for list in ["projects", "tokens"] {
            if let Some(name) = names.get(&text(group, id_field(list))) {
                group[id_field(list)] = name.clone().into();
            }
        }
    }
    Ok(groups)
}

fn id_field(list: &str) -> &'static str {
    if list == "projects" { "project_id" } else { "token_id" }
}

fn tell(groups: &[Value], status: &Value) {
    if groups.is_empty() {
        print("nothing was used in this time");
    } else {
        let has = |field: &str| groups.iter().any(|group| group.get(field).is_some());
        let columns: Vec<Column> =
            columns().into_iter().filter_map(|(field, column)| has(field).then_some(column)).collect();
        for line in table::lines(&columns, groups, &[]) {
            print(line);
        }
    }
    for (field, what) in [
        ("waiting_batches", "batches wait to be counted"),
        ("missing", "events are missing: see /manage/events/gaps"),
        (
            "lost_in_flight",
            "requests were under way when their isolates fell silent: see /manage/events/gaps",
        ),
        ("set_aside", "lines were no events: see /manage/events/set-aside"),
    ] {
        if status[field].as_u64().unwrap_or(0) > 0 {
            print(format_args!("{} {what}", status[field]));
        }
    }
}

/// Each with the field that it needs.
fn columns() -> [(&'static str, Column); 12] {
    let words = |title, text| Column { title, is_number: false, text };
    let number = |title, text| Column { title, is_number: true, text };
    [
        ("day", words("DAY", |group| text(group, "day").chars().take(10).collect())),
        ("hour", words("HOUR", |group| text(group, "hour"))),
        ("project_id", words("PROJECT", |group| text(group, "project_id"))),
        ("token_id", words("TOKEN", |group| text(group, "token_id"))),
        ("provider", words("PROVIDER", |group| text(group, "provider"))),
        ("model", words("MODEL", |group| text(group, "model"))),
        ("requests", number("REQUESTS", |group| text(group, "requests"))),
        ("input_tokens", number("INPUT", |group| text(group, "input_tokens"))),
        ("cached_input_tokens", number("CACHED", |group| text(group, "cached_input_tokens"))),
        ("output_tokens", number("OUTPUT", |group| text(group, "output_tokens"))),
        ("estimated_requests", number("ESTIMATED", |group| text(group, "estimated_requests"))),
        ("cost_usd", number("COST USD", cost)),
    ]
}

/// What is not known is not nothing.
fn cost(group: &Value) -> String {
    match group["unpriced_requests"].as_u64() {
        Some(1..) if group["cost_usd"].is_null() => "unknown".to_owned(),
        Some(1..) => format!("{} + unknown", text(group, "cost_usd")),
        Some(0) | None => text(group, "cost_usd"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_cost_is_said() {
        let group = |cost: Option<&str>, unpriced| json!({ "cost_usd": cost, "unpriced_requests": unpriced });
        assert_eq!(cost(&group(Some("0.5"), 0)), "0.5");
        assert_eq!(cost(&group(Some("0.5"), 2)), "0.5 + unknown");
        assert_eq!(cost(&group(None, 2)), "unknown");
    }
}
