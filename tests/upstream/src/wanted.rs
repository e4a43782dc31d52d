//! What a request wants instead of a sentence: calls of its tools, or JSON that fits a schema.

use serde_json::{Value, json};

use crate::content::{Speaker, Turn};
use crate::error::Problem;

#[derive(Default)]
pub(crate) struct Wanted {
    tools: Vec<Tool>,
    choice: Choice,
    is_one_call: bool,
    schema: Option<Value>,
}

/// A function that the client has.
pub(crate) struct Tool {
    pub(crate) name: String,
    /// Of its arguments.
    pub(crate) schema: Value,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The model's own.
    #[default]
    Auto,
    None,
    /// At least one.
    Any,
    Named(String),
}

impl Tool {
    /// One without a schema takes nothing; one without a name is no function.
    pub(crate) fn new(name: &Value, schema: &Value) -> Option<Self> {
        let schema = if schema.is_null() { json!({"type": "object"}) } else { schema.clone() };
        Some(Self { name: name.as_str()?.to_owned(), schema })
    }
}

impl Wanted {
    /// A choice among tools that are not there is refused, as providers do.
    pub(crate) fn tools(tools: Vec<Tool>, choice: Choice) -> Result<Self, Problem> {
        let is_there = match &choice {
            Choice::Auto | Choice::None => true,
            Choice::Any => !tools.is_empty(),
            Choice::Named(name) => tools.iter().any(|tool| tool.name == *name),
        };
        if !is_there {
            let detail = "the tool choice asks for a tool that is not among the tools";
            return Err(Problem::InvalidRequest(detail.to_owned()));
        }
        Ok(Self { tools, choice, ..Self::default() })
    }

    pub(crate) fn one_call(self, is_one_call: bool) -> Self {
        Self { is_one_call, ..self }
    }

    pub(crate) fn in_form(self, schema: Option<Value>) -> Self {
        Self { schema, ..self }
    }

    pub(crate) fn schema(&self) -> Option<&Value> {
        self.schema.as_ref()
    }

    /// The tools that the last message names, where it is the user's; the first one, where one must be
    /// called and none is named.
    pub(crate) fn called(&self, turns: &[Turn]) -> Vec<&Tool> {
        let said = turns.last().filter(|turn| turn.speaker == Speaker::User).map_or("", |turn| &turn.text);
        let is_named = |tool: &&Tool| words(said).any(|word| word == tool.name);
        let mut called: Vec<&Tool> = match &self.choice {
            Choice::None => Vec::new(),
            Choice::Auto | Choice::Any => self.tools.iter().filter(is_named).collect(),
            Choice::Named(name) => self.tools.iter().filter(|tool| tool.name == *name).take(1).collect(),
        };
        if called.is_empty() && self.choice == Choice::Any {
            called.extend(self.tools.first());
        }
        if self.is_one_call {
            called.truncate(1);
        }
        called
    }
}

/// Of the characters that the name of a tool can have.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(choice: Choice, turns: &[Turn]) -> Vec<String> {
        let tool = |name: &str| Tool { name: name.to_owned(), schema: Value::Null };
        let wanted = Wanted::tools(vec![tool("get_weather"), tool("get_time")], choice).unwrap();
        wanted.called(turns).into_iter().map(|tool| tool.name.clone()).collect()
    }

    #[test]
    fn a_tool_is_called_where_it_is_named_or_one_must_be() {
        let user = |text: &str| [Turn::user(text.to_owned())];
        let (asked, unasked) = (user("Use get_time, please."), user("What do get_time_zones do?"));
        assert_eq!(called(Choice::Auto, &asked), ["get_time"]);
        assert_eq!(called(Choice::Auto, &user("get_time and get_weather")), ["get_weather", "get_time"]);
        assert!(called(Choice::Auto, &unasked).is_empty());
        assert_eq!(called(Choice::Any, &asked), ["get_time"]);
        assert_eq!(called(Choice::Any, &unasked), ["get_weather"]);
        assert_eq!(called(Choice::Named("get_time".to_owned()), &unasked), ["get_time"]);
        assert!(called(Choice::None, &asked).is_empty());
        let [question] = user("Use get_time");
        assert!(called(Choice::Auto, &[question, Turn::other("12:00".to_owned())]).is_empty());
    }

    #[test]
    fn a_choice_among_none_is_refused() {
        for choice in [Choice::Any, Choice::Named("get_time".to_owned())] {
            assert!(Wanted::tools(Vec::new(), choice).is_err());
        }
    }
}
