//! One way of a request upstream, as it crosses to JavaScript.

use crate::balance::key::Key;
use crate::observe::request::Edit;
use shared::provider::{Api, Timeouts};
use std::borrow::Cow;
use std::fmt::{self, Write};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Between the parts: no header can hold it, nor a URL.
const SECTION: char = '\x1f';

pub struct Leg {
    pub url: String,
    /// Names of the client's headers that stay behind, a line each.
    pub withheld: String,
    /// Name, value, name, value...: set in place of the client's.
    pub set: Zeroizing<String>,
    /// Names of the upstream's headers that do not reach the client.
    pub answer_withheld: Cow<'static, str>,
    pub timeouts: Timeouts,
    /// From the answer's headers until the first part of a stream.
    pub first_token_ms: u32,
    /// Before it is asked.
    pub wait_ms: u64,
    /// Somebody may be asked after it.
    pub may_retry: bool,
    /// Which attempt it is, from 1.
    pub number: u32,
    pub edits: Vec<Edit>,
    /// The provider's name, and its API.
    pub provider: String,
    pub api: Api,
    /// Which of the project's it is.
    pub credential_id: Uuid,
    /// As it is sent, where a route says so.
    pub model: Option<String>,
    pub key: Key,
}

impl Leg {
    /// As JavaScript takes it apart.
    pub fn to_text(&self) -> Zeroizing<String> {
        let Self {
            url, withheld, set, answer_withheld, timeouts, first_token_ms, wait_ms, may_retry, ..
        } = self;
        let Timeouts { first_byte_ms, idle_ms, total_ms } = timeouts;
        let length = url.len() + withheld.len() + set.len() + answer_withheld.len() + 256;
        let mut text = Zeroizing::new(String::with_capacity(length));
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{url}{SECTION}{first_byte_ms} {first_token_ms} {idle_ms} {total_ms} {wait_ms} {}{SECTION}\
             {withheld}{SECTION}{}{SECTION}{answer_withheld}{SECTION}\
             x-latchkey-provider\n{}\nx-latchkey-attempts\n{}\n{SECTION}{}",
            u8::from(*may_retry),
            set.as_str(),
            self.provider,
            self.number,
            edits_to_text(&self.edits)
        );
        text
    }
}

/// A line each: from where, up to where, and what is written there. No JSON has
/// a line break within a string.
pub fn edits_to_text(edits: &[Edit]) -> String {
    let mut text = String::new();
    for Edit { from, to, text: new } in edits {
        let _ = writeln!(text, "{from} {to} {new}");
    }
    text.pop();
    text
}

impl fmt::Debug for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leg({})", self.url)
    }
}
