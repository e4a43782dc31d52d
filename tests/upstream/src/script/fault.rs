//! The faults, and how a model's name or a path says them.

use std::time::Duration;

use axum::http::StatusCode;

use crate::fault::{Refusal, page};
use crate::wire::End;

const MAX_EARLY: usize = 100;

/// Headers of a kilobyte each.
const VAST: usize = 100;
const MAX_VAST: usize = 1_000;

/// One way to misbehave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 302 to a place that shows in the request log when it is followed.
    Redirect,
    /// Not even a status line for this long, then the ordinary answer.
    Silent(Duration),
    /// This status, 400 or above, as the provider's error, with a time to wait.
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
    /// Status 200, and the error of this status in place of the answer.
    Error(StatusCode),
    /// Headers at once, and the body only after this long.
    Late(Duration),
    /// A connection that ends before the first byte.
    Ended(End),
    /// The same, for so long from the first request on.
    Down(Duration),
    /// The page of a platform that cannot reach the provider.
    Page(StatusCode),
    /// A request that this provider will not answer.
    Refused(Refusal),
    /// The ordinary answer with so many kilobytes of headers.
    Vast(usize),
    /// So many informational responses, then the ordinary answer.
    Early(StatusCode, usize),
}

/// How many words go out before a fault that does not say.
const WORDS_BEFORE: usize = 3;

impl Fault {
    /// It leaves the bytes of the body as they are.
    pub(super) fn is_plain(&self) -> bool {
        match self {
            Self::Redirect
            | Self::Silent(_)
            | Self::Status(_)
            | Self::Platform(_)
            | Self::Headers
            | Self::Giant
            | Self::Error(_)
            | Self::Ended(_)
            | Self::Down(_)
            | Self::Page(_)
            | Self::Refused(_)
            | Self::Vast(_)
            | Self::Early(..) => true,
            Self::Cut(_)
            | Self::Stall(_)
            | Self::End(_)
            | Self::Malformed(_)
            | Self::Length
            | Self::Type
            | Self::Gzip
            | Self::Late(_) => false,
        }
    }

    pub(super) fn parse(fault: &str) -> Result<Self, String> {
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
            ("error", "") => Ok(Self::Error(StatusCode::SERVICE_UNAVAILABLE)),
            ("error", code) => status(code).map(Self::Error),
            ("late", wait) => milliseconds(wait).map(Self::Late),
            ("reset", "") => Ok(Self::Ended(End::Reset)),
            ("hangup", "") => Ok(Self::Ended(End::Hangup)),
            ("down", lasts) => milliseconds(lasts).map(Self::Down),
            ("page", code) => paged(code).map(Self::Page),
            ("context", "") => Ok(Self::Refused(Refusal::Context)),
            ("filter", "") => Ok(Self::Refused(Refusal::Filter)),
            ("prefill", "") => Ok(Self::Refused(Refusal::Prefill)),
            ("vast", "") => Ok(Self::Vast(VAST)),
            ("vast", count) => vast(count).map(Self::Vast),
            ("early", early) => informational(early),
            ("silent", wait) => milliseconds(wait).map(Self::Silent),
            ("status", code) => status(code).map(Self::Status),
            ("platform", code) => status(code).map(Self::Platform),
            _ => Err(format!(
                "unknown fault {fault:?}: redirect, silent:<ms>, status:<code>, platform:<code>, headers, \
                 cut[:<words>], stall[:<words>], end[:<words>], malformed[:<words>], giant, length, type, gzip, \
                 error[:<code>], late:<ms>, reset, hangup, down:<ms>, page:<code>, context, filter, prefill, vast[:<headers>] \
                 or early:<code>[:<times>]"
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

fn paged(code: &str) -> Result<StatusCode, String> {
    let status = code.parse::<StatusCode>().ok();
    let status = status.filter(|status| page::title(status.as_u16()).is_some());
    status.ok_or_else(|| format!("there is a page for 520 to 526 and 530, not {code:?}"))
}

fn vast(count: &str) -> Result<usize, String> {
    match count.parse() {
        Ok(count @ 1..=MAX_VAST) => Ok(count),
        _ => Err(format!("headers are 1 to {MAX_VAST}, not {count:?}")),
    }
}

fn informational(early: &str) -> Result<Fault, String> {
    let (code, times) = early.split_once(':').unwrap_or((early, "1"));
    let status = match code {
        "100" => StatusCode::CONTINUE,
        "102" => StatusCode::PROCESSING,
        "103" => StatusCode::EARLY_HINTS,
        _ => return Err(format!("an early answer is 100, 102 or 103, not {code:?}")),
    };
    match times.parse() {
        Ok(times @ 1..=MAX_EARLY) => Ok(Fault::Early(status, times)),
        _ => Err(format!("early answers are 1 to {MAX_EARLY}, not {times:?}")),
    }
}

pub(super) fn milliseconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(count) => Ok(Duration::from_millis(count)),
        Err(_) => Err(format!("{text:?} is not a number of milliseconds")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
