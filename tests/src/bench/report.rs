//! The table that a person reads and the file that a program does.

use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub what: String,
    pub measured: String,
    pub beside: String,
    /// None where there is nothing to compare with.
    pub ratio: Option<f64>,
    pub to_reach: String,
    pub is_reached: bool,
}
