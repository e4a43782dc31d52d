//! The one place that draws random bytes.

use thiserror::Error;

#[derive(Clone, Copy, Debug, Error)]
#[error("the operating system gives no random bytes")]
pub struct NoRandom;

/// Random bytes fit for keys, nonces and ids.
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandom> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(bytes)
}
