//! How a request to a provider ended.

use super::error_kind::ErrorKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It was not asked: the project's key does not open.
    Unusable,
    /// No connection.
    Unreachable,
    /// The connection broke before the answer's headers.
    Reset,
    /// It did not begin to answer in time.
    Silent,
    /// The kind where it is [needed](super::error_kind::is_needed).
    Answered { status: u16, kind: Option<ErrorKind> },
    /// Its status is good, but what followed is an error.
    Error { kind: ErrorKind },
    /// Its answer began and broke off, or nothing more of it came in time.
    BrokeOff { is_silent: bool },
}

/// What stood in the way; it decides who is asked next, and who is avoided later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 401, 402, 403: the provider does not take the key, which is ours, not the client's.
    Key,
    /// 429.
    Limit,
    /// 408, 409: this once.
    Moment,
    /// It fails: not reached, 5xx.
    Provider,
    /// It would not answer this the next time either.
    Silence,
    /// Too long for this target.
    Length,
}

impl Happened {
    /// None where it is the client's to see: an answer, or an error that others would
    /// give as well.
    pub fn fault(self) -> Option<Fault> {
        match self {
            Self::Unusable => Some(Fault::Key),
            Self::Unreachable | Self::Reset | Self::BrokeOff { is_silent: false } => Some(Fault::Provider),
            Self::Silent | Self::BrokeOff { is_silent: true } => Some(Fault::Silence),
            Self::Error { kind } => fault_of_kind(kind, Some(Fault::Provider)),
            Self::Answered { status, kind } => {
                let by_status = match status {
                    401..=403 => Some(Fault::Key),
                    408 | 409 => Some(Fault::Moment),
                    429 => Some(Fault::Limit),
                    500.. => Some(Fault::Provider),
                    _ => None,
                };
                match kind {
                    Some(kind) if status >= 400 => fault_of_kind(kind, by_status),
                    _ => by_status,
                }
            }
        }
    }
}

fn fault_of_kind(kind: ErrorKind, otherwise: Option<Fault>) -> Option<Fault> {
    match kind {
        ErrorKind::ContextLength => Some(Fault::Length),
        ErrorKind::ContentFilter => None,
        ErrorKind::BadKey => Some(Fault::Key),
        ErrorKind::Other => otherwise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, kind: Option<ErrorKind>) -> Option<Fault> {
        Happened::Answered { status, kind }.fault()
    }

    #[test]
    fn statuses() {
        let expected = |status: u16| match status {
            401..=403 => Some(Fault::Key),
            408 | 409 => Some(Fault::Moment),
            429 => Some(Fault::Limit),
            500..=599 => Some(Fault::Provider),
            _ => None,
        };
        for status in 100..600 {
            assert_eq!(answered(status, None), expected(status), "{status}");
            assert_eq!(answered(status, Some(ErrorKind::Other)), expected(status), "{status}");
        }
    }

    #[test]
    fn what_an_error_says_outranks_its_status() {
        assert_eq!(answered(400, Some(ErrorKind::ContextLength)), Some(Fault::Length));
        assert_eq!(answered(400, Some(ErrorKind::BadKey)), Some(Fault::Key));
        assert_eq!(answered(429, Some(ErrorKind::BadKey)), Some(Fault::Key));
        assert_eq!(answered(403, Some(ErrorKind::ContentFilter)), None);
        assert_eq!(answered(200, Some(ErrorKind::BadKey)), None);
        let first = |kind| Happened::Error { kind }.fault();
        assert_eq!(first(ErrorKind::Other), Some(Fault::Provider));
        assert_eq!(first(ErrorKind::ContentFilter), None);
        assert_eq!(first(ErrorKind::ContextLength), Some(Fault::Length));
    }
}
