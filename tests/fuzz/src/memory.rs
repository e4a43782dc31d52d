//! How much memory a decoder asks for. A length that an object claims must not
//! be believed: an input of n bytes may cost a multiple of n, not what it says.
//!
//! libFuzzer's `-malloc_limit_mb` needs the hooks of a sanitizer, which stable
//! Rust does not have; so this counts by itself, each thread for itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Whatever the input: an error's text, a table of keys.
const ALLOWANCE: usize = 16 << 10;

/// For each byte of input. The smallest element of a list is one byte on the wire
/// (three in JSON) and 24 in memory, and a list may have twice the room it needs.
const FACTOR: usize = 64;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// What `decode` returns, once it is known to have used memory in proportion to
/// the `length` of its input.
pub fn bounded<T>(length: usize, decode: impl FnOnce() -> T) -> T {
    LIVE.set(0);
    PEAK.set(0);
    let result = decode();
    let peak = PEAK.get().unsigned_abs();
    assert!(peak <= ALLOWANCE + FACTOR * length, "{length} bytes made the decoder allocate {peak}");
    result
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(freed: usize, taken: usize) {
    // No allocation exceeds `isize::MAX`. A thread that ends frees without being counted.
    let _ = LIVE.try_with(|live| {
        live.set(live.get().wrapping_sub_unsigned(freed).wrapping_add_unsigned(taken));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: each call is passed on to the system's allocator as it came.
#[expect(unsafe_code, reason = "an allocator cannot be written otherwise")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), size);
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout.size(), 0);
        unsafe { System.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn a_proportionate_decoder_passes() {
        assert_eq!(bounded(1, || vec![7_u8; ALLOWANCE]).len(), ALLOWANCE);
    }

    #[test]
    #[should_panic(expected = "made the decoder allocate")]
    fn one_that_believes_a_length_does_not() {
        bounded(1, || black_box(Vec::<u8>::with_capacity(2 * ALLOWANCE)));
    }
}
