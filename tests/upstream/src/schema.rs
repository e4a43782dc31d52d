//! A value that fits a JSON schema, always the same one.

use serde_json::{Map, Value, json};

/// A schema that contains itself ends here, where it lets itself end.
const MAX_DEPTH: usize = 12;

/// Takes the schemas of tools and of structured output: those that providers accept, without `not`,
/// `pattern` and conditions. Where there is a choice it takes the first.
pub(crate) fn example(schema: &Value) -> Value {
    Schemas { root: schema }.example(schema, 0)
}

struct Schemas<'s> {
    root: &'s Value,
}

impl Schemas<'_> {
    fn example(&self, schema: &Value, depth: usize) -> Value {
        if depth > MAX_DEPTH {
            return Value::Null;
        }
        if let Some(path) = schema["$ref"].as_str() {
            let target = path.strip_prefix('#').and_then(|path| self.root.pointer(path));
            return target.map_or(Value::Null, |target| self.example(target, depth + 1));
        }
        if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
            return value.clone();
        }
        if let Some(first) = ["anyOf", "oneOf", "allOf"].iter().find_map(|name| schema[*name].get(0)) {
            return self.example(first, depth + 1);
        }
        match kind(schema).as_str() {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "integer" => json!(bounded(schema, 1)),
            "number" => number(schema),
            "boolean" => json!(true),
            "null" => Value::Null,
            _ => json!(string(schema)),
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let is_required = |name: &str| {
            schema["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name))
        };
        let properties = schema["properties"].as_object().into_iter().flatten();
        let members = properties
            .filter(|(name, _)| depth < MAX_DEPTH / 2 || is_required(name))
            .map(|(name, schema)| (name.clone(), self.example(schema, depth + 1)));
        Value::Object(members.collect::<Map<_, _>>())
    }

    fn array(&self, schema: &Value, depth: usize) -> Value {
        let least = schema["minItems"].as_u64();
        let count = least.unwrap_or(0).max(u64::from(depth < MAX_DEPTH / 2 && schema["maxItems"] != 0));
        (0..count).map(|_| self.example(&schema["items"], depth + 1)).collect()
    }
}

/// In lower case: Gemini's own schemas have `OBJECT`. Of several the first that is not null.
fn kind(schema: &Value) -> String {
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        kind => kind.as_str(),
    };
    let implied = if schema["properties"].is_object() { "object" } else { "string" };
    kind.unwrap_or(implied).to_ascii_lowercase()
}

fn string(schema: &Value) -> String {
    let length = |name: &str| schema[name].as_u64().and_then(|length| usize::try_from(length).ok());
    let text = match schema["format"].as_str() {
        Some("date-time") => "2030-01-01T00:00:00Z",
        Some("date") => "2030-01-01",
        Some("time") => "00:00:00Z",
        Some("email") => "user@example.com",
        Some("uri") => "https://example.com/",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        _ => "example",
    };
    let wanted =
        text.len().max(length("minLength").unwrap_or(0)).min(length("maxLength").unwrap_or(usize::MAX));
    text.chars().cycle().take(wanted).collect()
}

fn number(schema: &Value) -> Value {
    let bound = |name: &str| schema[name].as_f64();
    let least = bound("minimum").or_else(|| Some(bound("exclusiveMinimum")? + 0.5));
    let most = bound("maximum").or_else(|| Some(bound("exclusiveMaximum")? - 0.5));
    json!(1.5_f64.max(least.unwrap_or(f64::MIN)).min(most.unwrap_or(f64::MAX)))
}

/// The nearest whole number to `usual` that the schema allows.
fn bounded(schema: &Value, usual: i64) -> i64 {
    let bound = |name: &str| schema[name].as_i64();
    let least = bound("minimum").or_else(|| Some(bound("exclusiveMinimum")? + 1));
    let most = bound("maximum").or_else(|| Some(bound("exclusiveMaximum")? - 1));
    usual.max(least.unwrap_or(i64::MIN)).min(most.unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_what_is_asked_for() {
        for (schema, value) in [
            (json!({}), json!("example")),
            (json!({"type": "object"}), json!({})),
            (json!({"type": ["null", "integer"], "minimum": 3}), json!(3)),
            (json!({"type": "integer", "exclusiveMaximum": 0}), json!(-1)),
            (json!({"type": "number"}), json!(1.5)),
            (json!({"type": "string", "enum": ["celsius", "kelvin"]}), json!("celsius")),
            (json!({"const": 7}), json!(7)),
            (json!({"type": "string", "minLength": 9}), json!("exampleex")),
            (json!({"type": "string", "maxLength": 2}), json!("ex")),
            (json!({"type": "string", "format": "date"}), json!("2030-01-01")),
            (json!({"type": "array", "items": {"type": "boolean"}, "minItems": 2}), json!([true, true])),
            (json!({"anyOf": [{"type": "null"}, {"type": "string"}]}), Value::Null),
            (
                json!({"type": "OBJECT", "properties": {"at": {"type": "STRING"}, "n": {"type": "INTEGER"}}}),
                json!({"at": "example", "n": 1}),
            ),
            (
                json!({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "number", "maximum": 1}}}),
                json!({"a": 1.0}),
            ),
        ] {
            assert_eq!(example(&schema), value, "{schema}");
        }
    }

    #[test]
    fn what_contains_itself_ends() {
        let schema = json!({"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string"}, "next": {"$ref": "#"}, "all": {"type": "array", "items": {"$ref": "#"}},
        }});
        let mut value = &example(&schema);
        let mut depth = 0;
        while let Some(next) = value.get("next") {
            assert_eq!(value["name"], "example");
            (value, depth) = (next, depth + 1);
        }
        assert!((1..MAX_DEPTH).contains(&depth) && value["name"] == "example");
        assert_eq!(example(&json!({"$ref": "#"})), Value::Null);
    }
}
