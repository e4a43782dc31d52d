//! One connection to whatever `REDIS_URL` names, made anew when it fails.
//!
//! The client's own connection manager would do for one Redis. It knows no
//! Sentinel, and stays with a master that became a replica, or that does not
//! answer; so this holds the connection, for all kinds of address.

use super::super::LogError;
use super::target::{Connection, Target};
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Why a command was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Neither the group nor, maybe, the stream is there.
    NoGroup,
    GroupExists,
    /// The user may not do it, or Redis has no such command.
    Forbidden(String),
    Log(LogError),
}

/// The commands of one connection queue behind each other; those that read do
/// not keep those that write waiting, since each kind has a link of its own.
pub(super) struct Link {
    target: Arc<Target>,
    /// Longer than a command takes, its way and a new connection included.
    patience: Duration,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    /// Tells connections apart, so that who saw one fail does not drop the next.
    number: u64,
    connection: Option<Connection>,
}

impl Link {
    pub(super) fn new(target: Arc<Target>, patience: Duration) -> Self {
        Self { target, patience, current: Mutex::default() }
    }

    /// Redis's answer. A command that cannot be answered by the connection there
    /// is goes over a new one once more, so it may be done twice.
    pub(super) async fn run(&self, command: &Cmd) -> Result<Value, Trouble> {
        match timeout(self.patience, self.attempt(command)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(sorted(&error)),
            Err(_) => {
                // It may be cut off without a word; the next one begins anew.
                if let Ok(mut current) = self.current.try_lock() {
                    current.connection = None;
                }
                Err(LogError::Unreachable(format!("no answer within {:?}", self.patience)).into())
            }
        }
    }

    async fn attempt(&self, command: &Cmd) -> Result<Value, RedisError> {
        let (number, mut connection) = self.connection().await?;
        match connection.run(command, &self.target.route).await {
            Err(error) if is_of_the_connection(&error) => self.drop(number).await,
            answer => return answer,
        }
        let (number, mut connection) = self.connection().await?;
        let answer = connection.run(command, &self.target.route).await;
        if answer.as_ref().is_err_and(is_of_the_connection) {
            self.drop(number).await;
        }
        answer
    }

    async fn connection(&self) -> Result<(u64, Connection), RedisError> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok((current.number, connection.clone()));
        }
        let connection = self.target.connect().await?;
        current.number += 1;
        current.connection = Some(connection.clone());
        Ok((current.number, connection))
    }

    async fn drop(&self, number: u64) {
        let mut current = self.current.lock().await;
        if current.number == number {
            current.connection = None;
        }
    }
}

/// Whether another connection might do better. A master that became a replica
/// is asked no more: another one is master by then.
fn is_of_the_connection(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_connection_dropped()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

fn sorted(error: &RedisError) -> Trouble {
    let text = error.to_string();
    let kept = match error.kind() {
        ErrorKind::Server(ServerErrorKind::ReadOnly) => LogError::ReadOnly(text),
        ErrorKind::Server(_) | ErrorKind::Extension => match error.code() {
            Some("NOGROUP") => return Trouble::NoGroup,
            Some("ERR") if error.detail() == Some("no such key") => return Trouble::NoGroup,
            Some("BUSYGROUP") => return Trouble::GroupExists,
            Some("NOPERM") => return Trouble::Forbidden(text),
            Some("ERR")
                if error.detail().is_some_and(|detail| detail.to_lowercase().starts_with("unknown ")) =>
            {
                return Trouble::Forbidden(text);
            }
            Some("OOM") => LogError::Full(text),
            // A disk that takes nothing more; replicas that are missing, or have lost their master.
            Some("MISCONF" | "NOREPLICAS" | "MASTERDOWN") => LogError::ReadOnly(text),
            Some("LOADING" | "CLUSTERDOWN" | "TRYAGAIN") => LogError::Unreachable(text),
            _ => LogError::Refused(text),
        },
        ErrorKind::AuthenticationFailed => LogError::Refused(text),
        _ => LogError::Unreachable(text),
    };
    Trouble::Log(kept)
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<Trouble> for LogError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::NoGroup => Self::Refused("the consumer group is gone again".to_owned()),
            Trouble::GroupExists => Self::Refused("the consumer group exists".to_owned()),
            Trouble::Forbidden(text) => Self::Refused(text),
            Trouble::Log(error) => error,
        }
    }
}

/// Not what it holds: there is a password in it.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("patience", &self.patience).finish_non_exhaustive()
    }
}
