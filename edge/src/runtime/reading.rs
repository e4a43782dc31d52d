//! Reads what JavaScript holds, without having all of it in Wasm's memory, which never shrinks.

use js_sys::Uint8Array;
use std::io;

pub(super) struct Reading<'a> {
    array: &'a Uint8Array,
    at: u32,
}

impl<'a> Reading<'a> {
    pub(super) fn new(array: &'a Uint8Array) -> Self {
        Self { array, at: 0 }
    }
}

impl io::Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.array.length().saturating_sub(self.at);
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX).min(left);
        let end = self.at + length;
        if let Some(buffer) = buffer.get_mut(..length as usize) {
            self.array.subarray(self.at, end).copy_to(buffer);
        }
        self.at = end;
        Ok(length as usize)
    }
}
