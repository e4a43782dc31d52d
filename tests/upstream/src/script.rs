//! The options that a model name carries: `gpt-example+chunks=200,pace=5,fault=cut`. They travel in
//! the name because it reaches the upstream through any gateway and from any SDK, unlike a header.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;

/// The longest stream: one hour at the default pace.
const MAX_CHUNKS: usize = 200_000;

/// A model name and what it asks of this answer. Any name is a model.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Model {
    /// Without the options: the name that the answer carries.
    pub(crate) name: String,
    pub(crate) script: Script,
}

/// How the answer is to be given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    /// The exact number of words.
    pub(crate) chunks: Option<usize>,
    /// The pause between two of them.
    pub(crate) pace: Option<Duration>,
    pub(crate) fault: Option<Fault>,
}

/// One way to misbehave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 302 to a place that shows in the request log when it is followed.
    Redirect,
    /// Not even a status line for this long, then the ordinary answer.
    Silent(Duration),
    /// This status, 400 or above, as an error with `retry-after`.
    Status(StatusCode),
    /// The ordinary answer with headers that a gateway must not pass on.
    Headers,
    /// The beginning of the answer, then the end of the connection.
    Cut,
}

impl TryFrom<String> for Model {
    type Error = String;

    fn try_from(model: String) -> Result<Self, String> {
        let Some((name, options)) = model.split_once('+') else {
            return Ok(Self { name: model, script: Script::default() });
        };
        let mut script = Script::default();
        for option in options.split([',', '+']) {
            script.set(option)?;
        }
        Ok(Self { name: name.to_owned(), script })
    }
}

impl Script {
    /// A misspelt option is refused: passed over, it would make a test pass that tested nothing.
    fn set(&mut self, option: &str) -> Result<(), String> {
        match option.split_once('=') {
            Some(("chunks", count)) => match count.parse() {
                Ok(count @ 1..=MAX_CHUNKS) => self.chunks = Some(count),
                _ => return Err(format!("model option chunks takes 1 to {MAX_CHUNKS}, not {count:?}")),
            },
            Some(("pace", pace)) => self.pace = Some(milliseconds(pace)?),
            Some(("fault", fault)) => self.fault = Some(Fault::parse(fault)?),
            _ => {
                return Err(format!(
                    "unknown model option {option:?}: chunks=, pace= or fault= may follow a +"
                ));
            }
        }
        Ok(())
    }
}

impl Fault {
    fn parse(fault: &str) -> Result<Self, String> {
        match fault.split_once(':').unwrap_or((fault, "")) {
            ("redirect", "") => Ok(Self::Redirect),
            ("headers", "") => Ok(Self::Headers),
            ("cut", "") => Ok(Self::Cut),
            ("silent", wait) => milliseconds(wait).map(Self::Silent),
            ("status", code) => Self::status(code),
            _ => {
                Err(format!("unknown fault {fault:?}: redirect, silent:<ms>, status:<code>, headers or cut"))
            }
        }
    }

    /// The fault of a path below `/_fault/`; `None` is a path that does not exist.
    pub(crate) fn of_path(path: &str, query: &str) -> Option<Result<Self, String>> {
        match path.split_once('/').unwrap_or((path, "")) {
            ("redirect", "") => Some(Ok(Self::Redirect)),
            ("headers", "") => Some(Ok(Self::Headers)),
            ("cut", "") => Some(Ok(Self::Cut)),
            ("silent", "") => {
                let wait = query.split('&').find_map(|pair| pair.strip_prefix("ms="));
                Some(milliseconds(wait.unwrap_or("")).map(Self::Silent))
            }
            ("status", code) => Some(Self::status(code)),
            _ => None,
        }
    }

    fn status(code: &str) -> Result<Self, String> {
        let status = code.parse::<StatusCode>().ok();
        match status.filter(|status| (400..600).contains(&status.as_u16())) {
            Some(status) => Ok(Self::Status(status)),
            None => Err(format!("fault status takes 400 to 599, not {code:?}")),
        }
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(count) => Ok(Duration::from_millis(count)),
        Err(_) => Err(format!("{text:?} is not a number of milliseconds")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(model: &str) -> Result<Script, String> {
        Model::try_from(model.to_owned()).map(|model| model.script)
    }

    #[test]
    fn options_follow_a_plus() {
        let expected = Script {
            chunks: Some(200),
            pace: Some(Duration::from_millis(5)),
            fault: Some(Fault::Silent(Duration::from_secs(1))),
        };
        assert_eq!(parse("gpt+chunks=200,pace=5,fault=silent:1000"), Ok(expected.clone()));
        assert_eq!(parse("gpt+chunks=200+pace=5+fault=silent:1000"), Ok(expected));
        assert_eq!(parse("org/any-model:tag@2"), Ok(Script::default()));
        let model = Model::try_from("gpt-example+pace=0".to_owned()).unwrap();
        assert_eq!(model.name, "gpt-example");
    }

    #[test]
    fn a_wrong_option_is_refused() {
        for model in [
            "m+",
            "m+chunk=3",
            "m+chunks=0",
            "m+chunks=x",
            "m+chunks=999999999",
            "m+pace=-1",
            "m+fault=silent",
            "m+fault=status:200",
            "m+fault=status:abc",
            "m+fault=cut:3",
            "m+fault=",
        ] {
            assert!(parse(model).is_err(), "{model}");
        }
    }

    #[test]
    fn paths_name_the_same_faults() {
        let silent = Fault::Silent(Duration::from_millis(30));
        assert_eq!(Fault::of_path("silent", "a=b&ms=30"), Some(Ok(silent)));
        assert_eq!(
            Fault::of_path("status/503", ""),
            Some(Ok(Fault::Status(StatusCode::SERVICE_UNAVAILABLE)))
        );
        assert!(matches!(Fault::of_path("status/200", ""), Some(Err(_))));
        assert_eq!(Fault::of_path("nothing", ""), None);
    }
}
