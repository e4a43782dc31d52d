//! Latchkey's edge worker. [`pipeline`] shows the whole way of a request;
//! [`load`] reads what a decision misses, by way of whoever runs it:
//! `runtime`, the only user of `worker` and JavaScript, or a test.

pub mod answer;
pub mod authenticate;
pub mod authorize;
pub mod balance;
pub mod capture;
pub mod cors;
pub mod credential;
pub mod delivery;
pub mod event;
pub mod head;
pub mod health;
pub mod in_flight;
pub mod isolate;
pub mod leg;
pub mod load;
pub mod observe;
pub mod outbox;
pub mod pipeline;
pub mod policies;
pub mod refusal;
pub mod route;
pub mod snapshot;
pub mod target;
pub mod ways;

#[cfg(test)]
mod testing;

#[cfg(feature = "runtime")]
mod runtime;
