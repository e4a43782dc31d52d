//! What the log says, and how.

use super::reader::Reader;
use tracing_subscriber::filter::{LevelFilter, Targets};

#[derive(Clone, Debug)]
pub struct Log {
    /// `LOG_FORMAT`, `text` (default) or `json`.
    pub format: LogFormat,
    /// `LOG_LEVEL`, default `info`: error, warn, info, debug or trace, or directives such as `info,sqlx=debug`.
    pub level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Log> {
    let level = reader.text("LOG_LEVEL").unwrap_or_else(|| "info".to_owned());
    if !is_log_filter(&level) {
        reader.problem(
            "LOG_LEVEL",
            "must be error, warn, info, debug or trace, or directives such as info,sqlx=debug",
        );
    }
    let format = match reader.text("LOG_FORMAT").as_deref() {
        None | Some("text") => Some(LogFormat::Text),
        Some("json") => Some(LogFormat::Json),
        Some(_) => {
            reader.problem("LOG_FORMAT", "must be `text` or `json`");
            None
        }
    };
    Some(Log { format: format?, level })
}

/// `level`, or `target=level`, separated by commas. A bare word that is no level
/// would be read as a target, and silence everything else.
fn is_log_filter(text: &str) -> bool {
    text.split(',').all(|part| {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        level.trim().parse::<LevelFilter>().is_ok()
    }) && text.parse::<Targets>().is_ok()
}
