//! Latchkey's edge worker. [`pipeline`] shows the whole way of a request;
//! [`runtime`] is the only user of `worker` and JavaScript.

pub mod authenticate;
pub mod authorize;
pub mod credential;
pub mod head;
pub mod pipeline;
pub mod refusal;
pub mod route;
pub mod snapshot;
pub mod target;

mod runtime;
