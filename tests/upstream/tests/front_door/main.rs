//! The upstream through its front door: a real listener, a real client.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail as the test does")]
#![expect(unreachable_pub, reason = "the modules of a test have no outside")]

mod anthropic;
mod broken;
mod connection;
mod control;
mod fault;
mod gemini;
mod harness;
mod openai;
mod refusal;
mod retry;
mod tools;
