//! Random bytes, fetched from JavaScript many at a time.

use std::cell::RefCell;

struct Pool {
    bytes: [u8; 1024],
    used: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; 1024], used: 1024 }) };
}

/// For ids and for choices; nothing secret is made at the edge.
pub(super) fn take<const N: usize>() -> [u8; N] {
    POOL.with_borrow_mut(|pool| {
        if pool.used + N > pool.bytes.len() {
            // Cannot fail in a Workers request; were it to, ids would repeat.
            let _ = getrandom::fill(&mut pool.bytes);
            pool.used = 0;
        }
        let mut taken = [0; N];
        taken.copy_from_slice(&pool.bytes[pool.used..pool.used + N]);
        pool.used += N;
        taken
    })
}
