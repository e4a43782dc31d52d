//! The options that a model name carries: `gpt-example+chunks=200,pace=5,fault=cut`. They travel in
//! the name because it reaches the upstream through any gateway and from any SDK, unlike a header.

mod fault;

use std::time::Duration;

use serde::Deserialize;

pub(crate) use fault::Fault;
use fault::milliseconds;

/// The longest stream: one hour at the default pace.
const MAX_CHUNKS: usize = 200_000;

const MAX_TRICKLE: usize = 65_536;

/// A model as a request names it. `Stage::admit` makes the model of it that this request meets.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Asked {
    /// With the options.
    pub(crate) full: String,
    pub(crate) model: Model,
}

/// A model name and what it asks of this answer. Any name is a model.
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
    /// What the second of them is instead.
    pub(crate) says: Option<String>,
    /// The pause between two of them.
    pub(crate) pace: Option<Duration>,
    /// The answer comes in pieces of so many bytes, wherever that cuts it.
    pub(crate) trickle: Option<usize>,
    pub(crate) usage: UsageTold,
    /// The mark that ends a stream is left out.
    pub(crate) has_no_end: bool,
    /// What is said of the rate limit, whatever else the answer says.
    pub(crate) limits: Option<Limits>,
    pub(crate) fault: Option<Fault>,
    /// The fault plays for the first so many requests.
    pub(crate) times: Option<u64>,
    /// It plays for credentials that end so.
    pub(crate) only: Option<String>,
    /// When to come again after an error status.
    pub(crate) after: Option<After>,
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

/// What a provider's headers say of a rate limit, in requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    pub(crate) reset: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { limit: 10_000, remaining: 9_999, reset: Duration::from_millis(6) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Unsaid,
    /// `retry-after`
    Seconds(u64),
    /// `retry-after-ms`, and no `retry-after`.
    Millis(u64),
}

impl TryFrom<String> for Asked {
    type Error = String;

    fn try_from(full: String) -> Result<Self, String> {
        let model = Model::try_from(full.clone())?;
        Ok(Self { full, model })
    }
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
        script.check()?;
        Ok(Self { name: name.to_owned(), script })
    }
}

impl Script {
    /// Nothing about how the bytes come.
    pub(crate) fn is_plain(&self) -> bool {
        self.fault.as_ref().is_none_or(Fault::is_plain) && self.trickle.is_none()
    }

    /// A misspelt option is refused: passed over, it would make a test pass that tested nothing.
    fn set(&mut self, option: &str) -> Result<(), String> {
        match option.split_once('=') {
            Some(("chunks", count)) => match count.parse() {
                Ok(count @ 1..=MAX_CHUNKS) => self.chunks = Some(count),
                _ => return Err(format!("model option chunks takes 1 to {MAX_CHUNKS}, not {count:?}")),
            },
            Some(("says", word)) if !word.is_empty() => self.says = Some(word.to_owned()),
            Some(("pace", pace)) => self.pace = Some(milliseconds(pace)?),
            Some(("trickle", size)) => match size.parse() {
                Ok(size @ 1..=MAX_TRICKLE) => self.trickle = Some(size),
                _ => return Err(format!("model option trickle takes 1 to {MAX_TRICKLE}, not {size:?}")),
            },
            Some(("usage", "none")) => self.usage = UsageTold::None,
            Some(("usage", "every")) => self.usage = UsageTold::Every,
            Some(("end", "none")) => self.has_no_end = true,
            Some(("limit", count)) => self.limits.get_or_insert_default().limit = number(count)?,
            Some(("remaining", count)) => self.limits.get_or_insert_default().remaining = number(count)?,
            Some(("reset", wait)) => self.limits.get_or_insert_default().reset = milliseconds(wait)?,
            Some(("fault", fault)) => self.fault = Some(Fault::parse(fault)?),
            Some(("times", "0")) => return Err("model option times takes 1 or more".to_owned()),
            Some(("times", times)) => self.times = Some(number(times)?),
            Some(("only", end)) if !end.is_empty() => self.only = Some(end.to_owned()),
            Some(("after", "none")) => self.after = Some(After::Unsaid),
            Some(("after", wait)) => {
                self.after = Some(match wait.strip_prefix("ms:") {
                    Some(wait) => After::Millis(number(wait)?),
                    None => After::Seconds(number(wait)?),
                });
            }
            _ => {
                return Err(format!(
                    "unknown model option {option:?}: chunks=, says=, pace=, trickle=, usage=none, usage=every, end=none, \
                     limit=, remaining=, reset=, fault=, times=, only= or after= may follow a +"
                ));
            }
        }
        Ok(())
    }

    /// An option about a fault is refused where there is none, for the same reason.
    fn check(&self) -> Result<(), String> {
        if self.fault.is_none() && (self.times.is_some() || self.only.is_some()) {
            return Err("model options times and only need a fault".to_owned());
        }
        if self.after.is_some() && !matches!(self.fault, Some(Fault::Status(_))) {
            return Err("model option after needs fault=status".to_owned());
        }
        Ok(())
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::End;

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
        let expected = Script {
            limits: Some(Limits { remaining: 0, reset: Duration::from_millis(20), ..Limits::default() }),
            fault: Some(Fault::Ended(End::Reset)),
            times: Some(2),
            only: Some("-bad".to_owned()),
            ..Script::default()
        };
        assert_eq!(parse("m+fault=reset,times=2,only=-bad,remaining=0,reset=20"), Ok(expected));
        for (after, expected) in
            [("3", After::Seconds(3)), ("none", After::Unsaid), ("ms:40", After::Millis(40))]
        {
            assert_eq!(parse(&format!("m+fault=status:429,after={after}")).unwrap().after, Some(expected));
        }
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
            "m+fault=error:200",
            "m+fault=late",
            "m+fault=reset:3",
            "m+fault=hangup:3",
            "m+fault=down",
            "m+fault=page",
            "m+fault=page:527",
            "m+fault=context:3",
            "m+fault=filter:3",
            "m+fault=prefill:3",
            "m+fault=vast:0",
            "m+fault=early",
            "m+fault=early:101",
            "m+fault=early:103:0",
            "m+times=1",
            "m+fault=cut,times=0",
            "m+fault=cut,times=x",
            "m+only=k",
            "m+fault=cut,only=",
            "m+fault=cut,after=3",
            "m+fault=status:429,after=ms",
            "m+fault=status:429,after=ms:",
            "m+fault=status:429,after=-1",
            "m+remaining=x",
            "m+limit=",
            "m+reset=1s",
        ] {
            assert!(parse(model).is_err(), "{model}");
        }
    }
}
