//! The options that a model name carries: `gpt-example+chunks=200,pace=5,fault=cut`. They travel in
//! the name because it reaches the upstream through any gateway and from any SDK, unlike a header.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;

/// The longest stream: one hour at the default pace.
const MAX_CHUNKS: usize = 200_000;

const MAX_TRICKLE: usize = 65_536;

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
    /// The answer comes in pieces of so many bytes, wherever that cuts it.
    pub(crate) trickle: Option<usize>,
    pub(crate) usage: UsageTold,
    /// The mark that ends a stream is left out.
    pub(crate) has_no_end: bool,
    pub(crate) fault: Option<Fault>,
}

/// How often the answer says what it used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum UsageTold {
    /// As the provider does.
    #[default]
    Usual,
    None,
    /// In every chunk of a stream, so far.
    Every,
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
    /// The same status, in the words of a platform that cannot reach the provider.
    Platform(StatusCode),
    /// The ordinary answer with headers that a gateway must not pass on.
    Headers,
    /// So many words, then the end of the connection.
    Cut(usize),
    /// So many words, then nothing more.
    Stall(usize),
    /// So many words, then the end of the body, as if that were all.
    End(usize),
    /// After so many words, a frame that is no JSON.
    Malformed(usize),
    /// One word of ten megabytes.
    Giant,
    /// A `Content-Length` that exceeds what comes.
    Length,
    /// Another content type.
    Type,
    /// Compressed, whatever the client accepts.
    Gzip,
    /// Status 200, and an error in place of the answer.
    Error,
}

/// How many words go out before a fault that does not say.
const WORDS_BEFORE: usize = 3;

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
    /// Nothing about how the bytes come.
    pub(crate) fn is_plain(&self) -> bool {
        let is_whole = match &self.fault {
            None
            | Some(
                Fault::Redirect
                | Fault::Silent(_)
                | Fault::Status(_)
                | Fault::Platform(_)
                | Fault::Headers
                | Fault::Giant
                | Fault::Error,
            ) => true,
            Some(
                Fault::Cut(_)
                | Fault::Stall(_)
                | Fault::End(_)
                | Fault::Malformed(_)
                | Fault::Length
                | Fault::Type
                | Fault::Gzip,
            ) => false,
        };
        is_whole && self.trickle.is_none()
    }

    /// A misspelt option is refused: passed over, it would make a test pass that tested nothing.
    fn set(&mut self, option: &str) -> Result<(), String> {
        match option.split_once('=') {
            Some(("chunks", count)) => match count.parse() {
                Ok(count @ 1..=MAX_CHUNKS) => self.chunks = Some(count),
                _ => return Err(format!("model option chunks takes 1 to {MAX_CHUNKS}, not {count:?}")),
            },
            Some(("pace", pace)) => self.pace = Some(milliseconds(pace)?),
            Some(("trickle", size)) => match size.parse() {
                Ok(size @ 1..=MAX_TRICKLE) => self.trickle = Some(size),
                _ => return Err(format!("model option trickle takes 1 to {MAX_TRICKLE}, not {size:?}")),
            },
            Some(("usage", "none")) => self.usage = UsageTold::None,
            Some(("usage", "every")) => self.usage = UsageTold::Every,
            Some(("end", "none")) => self.has_no_end = true,
            Some(("fault", fault)) => self.fault = Some(Fault::parse(fault)?),
            _ => {
                return Err(format!(
                    "unknown model option {option:?}: chunks=, pace=, trickle=, usage=none, usage=every, end=none \
                     or fault= may follow a +"
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
            ("cut", count) => words(count).map(Self::Cut),
            ("stall", count) => words(count).map(Self::Stall),
            ("end", count) => words(count).map(Self::End),
            ("malformed", count) => words(count).map(Self::Malformed),
            ("giant", "") => Ok(Self::Giant),
            ("length", "") => Ok(Self::Length),
            ("type", "") => Ok(Self::Type),
            ("gzip", "") => Ok(Self::Gzip),
            ("error", "") => Ok(Self::Error),
            ("silent", wait) => milliseconds(wait).map(Self::Silent),
            ("status", code) => status(code).map(Self::Status),
            ("platform", code) => status(code).map(Self::Platform),
            _ => Err(format!(
                "unknown fault {fault:?}: redirect, silent:<ms>, status:<code>, platform:<code>, headers, \
                 cut[:<words>], stall[:<words>], end[:<words>], malformed[:<words>], giant, length, type, gzip \
                 or error"
            )),
        }
    }

    /// The fault of a path below `/_fault/`; `None` is a path that does not exist.
    pub(crate) fn of_path(path: &str, query: &str) -> Option<Result<Self, String>> {
        match path.split_once('/').unwrap_or((path, "")) {
            ("redirect", "") => Some(Ok(Self::Redirect)),
            ("headers", "") => Some(Ok(Self::Headers)),
            ("cut", "") => Some(Ok(Self::Cut(WORDS_BEFORE))),
            ("silent", "") => {
                let wait = query.split('&').find_map(|pair| pair.strip_prefix("ms="));
                Some(milliseconds(wait.unwrap_or("")).map(Self::Silent))
            }
            ("status", code) => Some(status(code).map(Self::Status)),
            ("platform", code) => Some(status(code).map(Self::Platform)),
            _ => None,
        }
    }
}

fn status(code: &str) -> Result<StatusCode, String> {
    let status = code.parse::<StatusCode>().ok();
    let status = status.filter(|status| (400..600).contains(&status.as_u16()));
    status.ok_or_else(|| format!("a status is 400 to 599, not {code:?}"))
}

fn words(count: &str) -> Result<usize, String> {
    match count.parse() {
        Ok(count) => Ok(count),
        Err(_) if count.is_empty() => Ok(WORDS_BEFORE),
        Err(_) => Err(format!("{count:?} is not a number of words")),
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
            ..Script::default()
        };
        assert_eq!(parse("gpt+chunks=200,pace=5,fault=silent:1000"), Ok(expected.clone()));
        assert_eq!(parse("gpt+chunks=200+pace=5+fault=silent:1000"), Ok(expected));
        assert_eq!(parse("org/any-model:tag@2"), Ok(Script::default()));
        let expected = Script {
            trickle: Some(7),
            usage: UsageTold::None,
            has_no_end: true,
            fault: Some(Fault::Cut(12)),
            ..Script::default()
        };
        assert_eq!(parse("m+trickle=7,usage=none,end=none,fault=cut:12"), Ok(expected));
        assert_eq!(parse("m+fault=stall").unwrap().fault, Some(Fault::Stall(3)));
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
            "m+fault=platform:200",
            "m+fault=cut:x",
            "m+fault=giant:3",
            "m+trickle=0",
            "m+usage=sometimes",
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
