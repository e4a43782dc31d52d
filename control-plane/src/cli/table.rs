//! A table for people: columns as wide as what is in them.

use serde_json::Value;

/// One column: its title, and the text of it for an item. Numbers stand right.
pub(super) struct Column {
    pub title: &'static str,
    pub is_number: bool,
    pub text: fn(&Value) -> String,
}

/// The lines of a table; `widths` are the least.
pub(super) fn lines(columns: &[Column], items: &[Value], widths: &[usize]) -> Vec<String> {
    let titles = columns.iter().map(|column| column.title.to_owned()).collect();
    let mut rows: Vec<Vec<String>> = vec![titles];
    rows.extend(items.iter().map(|item| columns.iter().map(|column| (column.text)(item)).collect()));
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| {
            let least = widths.get(at).copied().unwrap_or(0);
            rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0).max(least)
        })
        .collect();
    rows.iter().map(|row| line(columns, row, &widths)).collect()
}

fn line(columns: &[Column], row: &[String], widths: &[usize]) -> String {
    let cells = columns.iter().zip(row).zip(widths).map(|((column, text), &width)| {
        if column.is_number { format!("{text:>width$}") } else { format!("{text:<width$}") }
    });
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// The text of a field; `-` for null.
pub(super) fn text(item: &Value, field: &str) -> String {
    match &item[field] {
        Value::Null => "-".to_owned(),
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

/// Control characters of others do nothing on this terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|each| if each.is_control() { '\u{fffd}' } else { each }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let columns = [
            Column { title: "NAME", is_number: false, text: |item| text(item, "name") },
            Column { title: "N", is_number: true, text: |item| text(item, "n") },
        ];
        let items = [json!({ "name": "a\u{1b}b", "n": 1000 }), json!({ "name": null, "n": 7 })];
        assert_eq!(lines(&columns, &items, &[]), ["NAME     N", "a\u{fffd}b   1000", "-        7"]);
    }
}
