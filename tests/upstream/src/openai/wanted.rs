//! What chat and responses want alike: in chat a function and a schema are one level deeper.

use serde_json::{Value, json};

use crate::error::Problem;
use crate::wanted::{Choice, Tool, Wanted};

/// `format` is `response_format`, or that of `text`. Tools of other kinds are passed over.
pub(super) fn wanted(
    tools: Option<&[Value]>,
    choice: Option<&Value>,
    is_parallel: Option<bool>,
    format: &Value,
) -> Result<Wanted, Problem> {
    let functions = tools.unwrap_or_default().iter().filter(|tool| tool["type"] == "function");
    let tools = functions.filter_map(|tool| {
        let function = inner(tool, "function");
        Tool::new(&function["name"], &function["parameters"])
    });
    let wanted = Wanted::tools(tools.collect(), choice.map_or(Choice::Auto, chosen))?;
    Ok(wanted.one_call(is_parallel == Some(false)).in_form(schema(format)))
}

fn chosen(choice: &Value) -> Choice {
    match (choice.as_str(), inner(choice, "function")["name"].as_str()) {
        (Some("none"), _) => Choice::None,
        (Some("required"), _) => Choice::Any,
        (_, Some(name)) => Choice::Named(name.to_owned()),
        _ => Choice::Auto,
    }
}

fn schema(format: &Value) -> Option<Value> {
    match format["type"].as_str() {
        Some("json_schema") => Some(inner(format, "json_schema")["schema"].clone()),
        Some("json_object") => Some(json!({"type": "object"})),
        _ => None,
    }
}

fn inner<'v>(value: &'v Value, name: &str) -> &'v Value {
    value.get(name).unwrap_or(value)
}
