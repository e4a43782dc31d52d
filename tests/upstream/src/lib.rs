//! A deterministic stand-in for the LLM providers: it speaks the wire formats of `OpenAI`, Anthropic
//! and Gemini on one port, answers the same request with the same words, writes down what reached
//! it, and misbehaves when it is asked to. The README has the routes and the model options.

mod answer;
mod anthropic;
mod content;
mod control;
mod error;
mod exchange;
mod fault;
mod gemini;
mod openai;
mod record;
mod reply;
mod schema;
mod script;
mod server;
mod stage;
mod tally;
mod wanted;
mod wire;

pub use server::{Options, serve, serve_until};
