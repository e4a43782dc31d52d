//! The table that a person reads and the file that a program does.

use crate::process::root;
use serde::Serialize;
use std::process::Command;
use std::time::Duration;

#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub what: String,
    pub measured: String,
    pub beside: String,
    /// None where a ratio says nothing.
    pub ratio: Option<f64>,
    pub to_reach: String,
    pub is_reached: bool,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: String,
    pub versions: Vec<String>,
    pub rows: Vec<Row>,
}

impl Row {
    /// At most `limit` times what it stands beside.
    pub fn ratio(what: &str, measured: Duration, beside: &str, floor: Duration, limit: f64) -> Self {
        let ratio = measured.as_secs_f64() / floor.as_secs_f64();
        Self {
            what: what.into(),
            measured: millis(measured),
            beside: format!("{beside}: {}", millis(floor)),
            ratio: Some(ratio),
            to_reach: format!("at most {limit}"),
            is_reached: ratio <= limit,
        }
    }

    /// At least `least` of the rate of what it stands beside.
    pub fn share(what: &str, measured: Duration, beside: &str, floor: Duration, least: f64) -> Self {
        let ratio = floor.as_secs_f64() / measured.as_secs_f64();
        Self {
            ratio: Some(ratio),
            to_reach: format!("at least {least}"),
            is_reached: ratio >= least,
            ..Self::ratio(what, measured, beside, floor, least)
        }
    }
}

impl Report {
    pub fn new() -> Self {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
        // Not what this process may use: it keeps off the measured core.
        let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
        Self {
            machine: format!("{}, {cores} cores", model.trim_start_matches([':', '\t', ' '])),
            versions: vec![
                version(&root().join("node_modules/.bin/workerd").to_string_lossy()),
                version(&root().join("node_modules/.bin/node").to_string_lossy()),
                version("rustc"),
            ],
            rows: Vec::new(),
        }
    }

    /// Prints the row at once: the whole takes minutes.
    pub fn add(&mut self, row: Row) {
        let ratio = row.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let verdict = if row.is_reached { "reached" } else { "NOT REACHED" };
        println!(
            "{}\n    {} | {} | ratio {ratio} | {}: {verdict}",
            row.what, row.measured, row.beside, row.to_reach
        );
        self.rows.push(row);
    }

    pub fn write(&self) -> std::io::Result<()> {
        std::fs::write(root().join("target/bench.json"), serde_json::to_vec_pretty(self)?)
    }
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}

pub fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values[values.len() / 2]
}

pub fn millis(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1_000.0)
}

fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!(
        "{}: {}",
        program.rsplit('/').next().unwrap_or(program),
        text.unwrap_or_else(|error| error.to_string())
    )
}
