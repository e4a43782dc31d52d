//! What Node calls.

#![expect(unsafe_code, reason = "a name that Wasm exports could be defined twice")]

use crate::Tokens;
use std::cell::RefCell;

thread_local! {
    static TOKENS: RefCell<Option<Tokens>> = const { RefCell::new(None) };
}

/// Before the others.
#[unsafe(no_mangle)]
extern "C" fn prepare(count: u32) {
    TOKENS.set(Some(Tokens::new(count as usize)));
}

#[unsafe(no_mangle)]
extern "C" fn look_up(start: usize, end: usize) -> u64 {
    TOKENS.with_borrow(|tokens| tokens.as_ref().unwrap().look_up(start..end))
}

#[unsafe(no_mangle)]
extern "C" fn bytes() -> usize {
    TOKENS.with_borrow(|tokens| tokens.as_ref().unwrap().bytes())
}
