//! A buffer whose first byte has an address that is a multiple of a block's size: what a write past the page cache asks for.

use super::batch::Bytes;

/// Bytes of a block: no disk's sector and no file system's page that is in wide use has more. Where one has, writes go through the page
/// cache (`block_file`).
pub(super) const BLOCK_BYTES: usize = 4096;

#[derive(Default)]
pub(super) struct AlignedBuffer {
    bytes: Bytes,
    /// Where the contents begin in `bytes`.
    start: usize,
}

impl AlignedBuffer {
    /// Empties the buffer and makes space for `length` bytes: with more than that it would move to an address that is not aligned.
    pub(super) fn clear_for(&mut self, length: usize) {
        self.bytes.clear();
        self.bytes.reserve(BLOCK_BYTES + length);
        self.start = self.bytes.as_ptr().align_offset(BLOCK_BYTES);
        self.bytes.resize(self.start, 0);
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        debug_assert!(self.bytes.len() + bytes.len() <= self.bytes.capacity(), "space was made for less");
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds zeros until the length is a multiple of `alignment`.
    pub(super) fn pad(&mut self, alignment: usize) {
        self.resize(self.bytes().len().next_multiple_of(alignment));
    }

    /// Makes it `length` bytes long, with zeros if it grows.
    pub(super) fn resize(&mut self, length: usize) {
        self.bytes.resize(self.start + length, 0);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_and_their_rest_is_zeros() {
        let mut buffer = AlignedBuffer::default();
        for length in [1usize, 5_000, 4_096, 9, 300_000, 0] {
            let whole = length.next_multiple_of(BLOCK_BYTES);
            buffer.clear_for(whole);
            (0..length).for_each(|_| buffer.extend(&[7]));
            buffer.pad(BLOCK_BYTES);
            assert!(buffer.bytes().as_ptr().addr().is_multiple_of(BLOCK_BYTES), "{length}");
            assert_eq!(buffer.bytes().len(), whole);
            let (written, padding) = buffer.bytes().split_at(length);
            assert!(written.iter().all(|byte| *byte == 7) && padding.iter().all(|byte| *byte == 0), "{length}");
        }
    }
}
