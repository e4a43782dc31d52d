//! Gzip ([RFC 1952](https://www.rfc-editor.org/rfc/rfc1952)) that does not compress: it is there to be
//! sent to who did not accept it, and each piece must leave at once.

/// Magic number, deflate, no flags, no time, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

#[derive(Default)]
pub(super) struct Gzip {
    has_header: bool,
    /// Inverted, as it is computed.
    crc: u32,
    length: u32,
}

impl Gzip {
    pub(super) fn block(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + 32);
        if !self.has_header {
            self.has_header = true;
            out.extend(HEADER);
        }
        for chunk in bytes.chunks(usize::from(u16::MAX)) {
            stored(&mut out, 0, chunk);
        }
        self.crc =
            !bytes.iter().fold(!self.crc, |crc, &byte| {
                (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                    if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
                })
            });
        self.length = self.length.wrapping_add(u32::try_from(bytes.len()).unwrap_or_default());
        out
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let mut out = self.block(&[]);
        stored(&mut out, 1, &[]);
        out.extend(self.crc.to_le_bytes());
        out.extend(self.length.to_le_bytes());
        out
    }
}

/// A block as it is, at most 64 KiB; the last one has its bit set.
fn stored(out: &mut Vec<u8>, last: u8, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or_default();
    out.push(last);
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `printf 'hello' | gzip` has in its trailer.
    #[test]
    fn the_trailer_is_right() {
        let mut gzip = Gzip::default();
        assert_eq!(gzip.block(b"hel")[..2], [0x1f, 0x8b]);
        gzip.block(b"lo");
        assert!(gzip.finish().ends_with(&[0x86, 0xa6, 0x10, 0x36, 5, 0, 0, 0]));
    }
}
