//! What an answer says of itself, read as it passes: who answered, what it used,
//! whether it is whole. Nothing is held back and nothing is buffered: the state is
//! of a fixed size, whatever comes.

mod body;
mod dialect;
mod facts;
mod fields;
mod frame;
pub mod joined;
mod joint;
pub mod opening;
mod repeat;
mod sse;
pub mod strip;

/// Requests are read in the same way as answers.
pub use shared::asked as request;

use crate::refusal::{Code, Refusal};
use body::{Body, Mark};
use dialect::Dialect;
use joint::Joint;
use shared::event::{Completion, Usage, UsageSource};
use shared::json;
use shared::provider::Api;

/// Reads an answer as it passes, in pieces of any size, in bounded memory.
#[derive(Debug)]
pub struct Observer {
    /// By its status. It may say that something failed, and still be whole.
    is_error: bool,
    body: Body,
}

/// How the answer's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As HTTP ends bodies.
    Clean,
    /// The connection died, or the body is shorter than its `Content-Length`.
    Cut,
    /// `idle_ms` went by without a byte.
    Stalled,
    /// `total_ms` went by.
    Overran,
    /// The client left.
    ClientLeft,
}

impl End {
    /// Of an answer of which nothing more is known.
    pub fn completion(self) -> Completion {
        match self {
            Self::Clean => Completion::Complete,
            Self::Cut | Self::Stalled | Self::Overran => Completion::Truncated,
            Self::ClientLeft => Completion::Aborted,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// As answered, cut to [`shared::event::MAX_TEXT_LEN`].
    pub model: Option<String>,
    pub usage: Usage,
    pub usage_source: UsageSource,
    /// Bytes of text and of tools' arguments that the model wrote, if the answer was read.
    pub text_bytes: Option<u64>,
    pub completion: Completion,
    /// Where the answer broke.
    pub error_code: Option<&'static str>,
    /// To append before the body is closed, so that an SDK raises.
    pub error_frame: Option<String>,
    /// The body must end as an error of the connection: nothing can be appended,
    /// and closed as it is the client would take it for whole.
    pub must_abort: bool,
}

impl Observer {
    /// `endpoint` is the path at the provider, `status` and `content_type` are the answer's.
    pub fn new(api: Api, endpoint: &str, status: u16, content_type: &str) -> Self {
        let dialect = Dialect::of(api, endpoint);
        Self { is_error: status >= 400, body: Body::new(dialect, content_type) }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.body.feed(bytes);
    }

    /// The same for who can still end the stream: reads no further than what is
    /// malformed. How much of `bytes` was read, if that was not all.
    pub fn feed_until_malformed(&mut self, bytes: &[u8]) -> Option<usize> {
        if !self.is_error {
            self.body.read_strictly();
        }
        let rest = self.body.feed(bytes);
        self.is_malformed().then(|| bytes.len() - rest.len())
    }

    /// Whether a part of the stream was not what its readers need: it ends in an
    /// error, whatever follows, and need not go on.
    pub fn is_malformed(&self) -> bool {
        self.mark() == Some(Mark::Malformed)
    }

    /// Whether the answer is a stream: server-sent events, or Gemini's array that
    /// grows. By its content type at first, by its content once that begins.
    pub fn is_stream(&self) -> bool {
        self.body.is_stream()
    }

    /// Whether the provider's own end mark was seen, so that nothing can go wrong any more.
    pub fn has_ended(&self) -> bool {
        self.mark() == Some(Mark::Whole)
    }

    /// Whether the provider said that it failed.
    pub fn has_failed(&self) -> bool {
        self.mark() == Some(Mark::Failed)
    }

    /// Whether something is missing, where the body ended so.
    pub fn is_broken_by(&self, end: End) -> bool {
        judge(self.mark(), end, self.body.is_stream()).0 == Completion::Truncated
    }

    /// As far as it was told.
    pub fn usage(&mut self) -> Usage {
        self.body.facts().usage()
    }

    /// Bytes that the model wrote, if they can be told.
    pub fn text_bytes(&self) -> Option<u64> {
        self.body.text()
    }

    /// What joins another to it; none where that cannot be.
    pub fn joint(&self) -> Option<Joint> {
        let may_be_joined = self.body.is_events() && !self.is_error;
        may_be_joined.then(|| Joint::of(self.body.reader.dialect)).flatten()
    }

    pub fn end(mut self, end: End) -> Observed {
        let mark = self.mark();
        let (completion, code) = judge(mark, end, self.body.is_stream());
        // An error that the provider told is its own, and told.
        let broken = code.filter(|_| mark != Some(Mark::Failed));
        let error_frame = broken
            .filter(|_| !self.is_error)
            .and_then(|code| frame::of(&self.body, &Refusal::new(code, reason(mark, end))));
        let usage = self.body.facts().usage();
        Observed {
            model: self.body.facts().model(),
            usage,
            text_bytes: self.body.text(),
            usage_source: if usage.is_known() { UsageSource::Reported } else { UsageSource::None },
            completion,
            error_code: code.map(Code::as_str),
            must_abort: broken.is_some() && error_frame.is_none(),
            error_frame,
        }
    }

    /// The answer ended as HTTP ends bodies, and was not read so far: what is wrong
    /// with it was told before, or is not known.
    pub fn end_unseen(self) -> Observed {
        let is_wrong = matches!(self.mark(), Some(Mark::Failed | Mark::Malformed));
        let observed = self.end(End::Clean);
        if is_wrong {
            return observed;
        }
        let completion = Completion::Complete;
        Observed { completion, error_code: None, error_frame: None, must_abort: false, ..observed }
    }

    fn mark(&self) -> Option<Mark> {
        match self.body.mark() {
            Some(Mark::Failed) if self.is_error => Some(Mark::Whole),
            Some(Mark::Open | Mark::Malformed) if self.is_error && self.body.is_stream() => None,
            mark => mark,
        }
    }
}

fn judge(mark: Option<Mark>, end: End, is_stream: bool) -> (Completion, Option<Code>) {
    let truncated = |code| (Completion::Truncated, Some(code));
    match (mark, end) {
        (Some(Mark::Failed | Mark::Malformed), _) => truncated(Code::UpstreamError),
        // A document's own end does not tell that no byte is missing after it.
        (Some(Mark::Whole), End::Cut) if !is_stream => truncated(Code::UpstreamError),
        (Some(Mark::Whole), End::Stalled | End::Overran) if !is_stream => truncated(Code::UpstreamTimeout),
        (Some(Mark::Whole), _) | (None | Some(Mark::Ending), End::Clean) => (Completion::Complete, None),
        (_, End::ClientLeft) => (Completion::Aborted, None),
        (_, End::Stalled | End::Overran) => truncated(Code::UpstreamTimeout),
        (_, End::Clean | End::Cut) => truncated(Code::UpstreamError),
    }
}

/// For who reads the error.
fn reason(mark: Option<Mark>, end: End) -> &'static str {
    if mark == Some(Mark::Malformed) {
        return "The upstream sent a malformed frame, so that a part of its answer is missing.";
    }
    match end {
        End::Clean => "The upstream ended its answer before it was complete.",
        End::Cut => "The connection to the upstream broke before its answer was complete.",
        End::Stalled => "The upstream stalled: nothing more of its answer came in the time allowed.",
        End::Overran => "The upstream's answer took longer than allowed and was cut off.",
        End::ClientLeft => "The client left.",
    }
}

#[cfg(test)]
mod tests;
