//! `OpenAI`'s API: one file per endpoint.

mod chat;
mod completions;
mod embeddings;
mod models;
mod responses;
mod upload;
mod wanted;

pub(crate) use chat::{chat, stream as chat_stream};
pub(crate) use completions::completions;
pub(crate) use embeddings::embeddings;
pub(crate) use models::{model, models};
pub(crate) use responses::responses;
pub(crate) use upload::upload;
