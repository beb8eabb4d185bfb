//! Knows from a WebSocket's bytes where its frames and messages begin and end, header by header. Pure.
//!
//! It rejects a message over the bound at the header that says so, before the payload is read. The first message has a bound of its own.
//! A message over [`UNCOUNTED_BYTES`] needs memory, which it knows from the header, too.

use std::io;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// The size of the longest frame header (RFC 6455 section 5.2).
const HEADER_BYTES: usize = 14;

/// The largest payload of a control frame, in bytes (RFC 6455 section 5.5). The library would read a longer one to its end before it
/// rejects it.
const CONTROL_BYTES: u64 = 125;

/// The bytes of a frame that every frame of a client has (RFC 6455 section 5.2): a header without a longer length, and its mask.
const LEAST_FRAME_BYTES: usize = 6;

/// The largest message for which no memory is taken: every session may hold one. No first message is larger.
pub(super) const UNCOUNTED_BYTES: usize = driftless_protocol::limits::HELLO_BYTES;

/// What a message needs of memory for each of its bytes: it lies in the buffer of the socket, and decoded beside it.
const COPIES: u64 = 2;

/// A message over its bound. Travels through the WebSocket library as the payload of an [`io::Error`].
#[derive(Debug)]
pub(super) struct MessageTooLong;

impl std::fmt::Display for MessageTooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("message too long")
    }
}

impl std::error::Error for MessageTooLong {}

pub(super) struct FrameTracker {
    /// A header that is incomplete so far.
    header: [u8; HEADER_BYTES],
    header_len: u8,
    /// Whether the last data frame was not the final one of its message.
    in_message: bool,
    /// Bytes of the current frame's payload that are still to come.
    remaining: u64,
    /// Whether the current frame is a control frame.
    is_control: bool,
    /// Bytes of the current message so far.
    message_bytes: u64,
    /// Payload of data frames that has arrived since the stream began. It wraps.
    data_bytes: u64,
    /// The bound of the current message, or of the next one between messages.
    limit: u64,
    /// The bound of every message after that.
    later_limit: u64,
    /// The memory that the current or the last message needs; 0 if it is small, or its buffer was given back.
    needed_bytes: u64,
}

impl FrameTracker {
    /// `first_limit` bounds the first message, `limit` every later one; in bytes.
    pub(super) fn new(first_limit: usize, limit: usize) -> FrameTracker {
        let (limit, later_limit) = (first_limit as u64, limit as u64);
        FrameTracker {
            header: [0; HEADER_BYTES],
            header_len: 0,
            in_message: false,
            remaining: 0,
            is_control: false,
            message_bytes: 0,
            data_bytes: 0,
            limit,
            later_limit,
            needed_bytes: 0,
        }
    }

    /// The memory that the current message needs, in bytes. 0: none.
    pub(super) fn needed_bytes(&self) -> usize {
        self.needed_bytes as usize
    }

    /// How many bytes may be read now without reading any of the message behind one that needs memory: `None`: however many; 0: the message is
    /// complete.
    pub(super) fn readable_bytes(&self) -> Option<usize> {
        if self.needed_bytes == 0 {
            None
        } else if self.remaining > 0 {
            Some(usize::try_from(self.remaining).unwrap_or(usize::MAX))
        } else if self.in_message || self.header_len > 0 {
            Some(LEAST_FRAME_BYTES.saturating_sub(usize::from(self.header_len)).max(1))
        } else {
            Some(0)
        }
    }

    /// The buffer of the last message was given back.
    pub(super) fn message_freed(&mut self) {
        self.needed_bytes = 0;
    }

    /// Payload of messages that has arrived so far, in bytes: what shows that a device delivers. Control frames and headers do not.
    pub(super) fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    pub(super) fn is_between_messages(&self) -> bool {
        self.remaining == 0 && self.header_len == 0 && !self.in_message
    }

    /// Takes the next bytes of the stream.
    pub(super) fn track(&mut self, mut bytes: &[u8]) -> Result<(), MessageTooLong> {
        loop {
            let skipped = self.remaining.min(bytes.len() as u64);
            self.remaining -= skipped;
            if !self.is_control {
                self.data_bytes = self.data_bytes.wrapping_add(skipped);
            }
            bytes = &bytes[skipped as usize..];
            if bytes.is_empty() {
                return Ok(());
            }
            bytes = self.take_header(bytes)?;
        }
    }

    /// Takes the bytes that belong to a header, and returns the rest.
    fn take_header<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], MessageTooLong> {
        let known_len = usize::from(self.header_len);
        let taken = bytes.len().min(HEADER_BYTES - known_len);
        self.header[known_len..known_len + taken].copy_from_slice(&bytes[..taken]);
        let mut header = io::Cursor::new(&self.header[..known_len + taken]);
        match FrameHeader::parse(&mut header) {
            Ok(Some((parsed, length))) => {
                let used = header.position() as usize;
                self.header_len = 0;
                self.begin_frame(&parsed, length)?;
                Ok(&bytes[used - known_len..])
            }
            Ok(None) => {
                self.header_len += taken as u8;
                Ok(&bytes[taken..])
            }
            // The library rejects the header too, and reads no further frame.
            Err(_) => {
                self.remaining = u64::MAX;
                Ok(bytes)
            }
        }
    }

    fn begin_frame(&mut self, header: &FrameHeader, length: u64) -> Result<(), MessageTooLong> {
        self.remaining = length;
        self.is_control = !matches!(header.opcode, OpCode::Data(_));
        let OpCode::Data(data) = header.opcode else {
            return if length > CONTROL_BYTES { Err(MessageTooLong) } else { Ok(()) };
        };
        self.message_bytes = if data == Data::Continue { self.message_bytes.saturating_add(length) } else { length };
        self.in_message = !header.is_final;
        if self.message_bytes > self.limit {
            return Err(MessageTooLong);
        }
        if data != Data::Continue {
            self.needed_bytes = 0;
        }
        if self.needed_bytes == 0 && self.message_bytes > UNCOUNTED_BYTES as u64 {
            // How long a message in several frames becomes is not known yet.
            self.needed_bytes = COPIES * if header.is_final { self.message_bytes } else { self.limit };
        }
        if header.is_final {
            self.limit = self.later_limit;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(0x80 | length as u8),
            _ => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        frame.extend_from_slice(&MASK);
        frame.resize(frame.len() + length, 0x81);
        frame
    }

    #[test]
    fn the_end_of_a_message_is_found_however_its_bytes_arrive() {
        let stream = [frame(0x82, 5), frame(0x02, 300), frame(0x89, 3), frame(0x80, 0), frame(0x81, 0)].concat();
        let ends = [11, 11 + 308 + 9 + 6, stream.len()];
        for step in [1, 2, 3, 7, 100, stream.len()] {
            let mut tracker = FrameTracker::new(1000, 1000);
            let mut read = 0;
            for chunk in stream.chunks(step) {
                tracker.track(chunk).expect("short");
                read += chunk.len();
                // A ping within a fragmented message does not end it.
                assert_eq!(tracker.is_between_messages(), ends.contains(&read), "after {read} in steps of {step}");
            }
        }
    }

    #[test]
    fn only_the_payload_of_messages_shows_that_a_device_delivers() {
        let stream = [frame(0x02, 300), frame(0x89, 125), frame(0x00, 0), frame(0x8a, 5), frame(0x80, 20)].concat();
        for step in [1, 7, stream.len()] {
            let mut tracker = FrameTracker::new(1000, 1000);
            stream.chunks(step).for_each(|chunk| tracker.track(chunk).expect("short"));
            assert_eq!(tracker.data_bytes(), 320, "in steps of {step}");
        }
    }

    #[test]
    fn a_message_over_the_bound_is_rejected_at_its_header() {
        assert!(FrameTracker::new(300, 400).track(&frame(0x82, 301)[..8]).is_err());
        assert!(FrameTracker::new(300, 400).track(&frame(0x82, 300)).is_ok());
        let frames = [frame(0x02, 200), frame(0x80, 101)].concat();
        assert!(FrameTracker::new(300, 400).track(&frames).is_err(), "in two frames");
        let endless = [&[0x82, 0xff][..], &[0xff; 8], &MASK].concat();
        assert!(FrameTracker::new(300, 400).track(&endless[..10]).is_ok(), "its mask is still to come");
        assert!(FrameTracker::new(300, 400).track(&endless).is_err());
    }

    #[test]
    fn a_large_message_needs_memory_from_its_header_on_and_is_read_to_its_end_and_no_further() {
        let most = 4 * UNCOUNTED_BYTES;
        let large = UNCOUNTED_BYTES + 1;
        let tracked = |bytes: &[u8]| {
            let mut tracker = FrameTracker::new(most, most);
            tracker.track(bytes).expect("within the bound");
            (tracker.needed_bytes(), tracker.readable_bytes())
        };
        assert_eq!(tracked(&frame(0x82, UNCOUNTED_BYTES)), (0, None));
        assert_eq!(tracked(&frame(0x82, large)[..7]), (0, None), "its mask is still to come");
        assert_eq!(tracked(&frame(0x82, large)[..8]), (2 * large, Some(large)));
        assert_eq!(tracked(&frame(0x82, large)[..108]), (2 * large, Some(large - 100)));
        assert_eq!(tracked(&frame(0x82, large)), (2 * large, Some(0)));
        let fragments = [frame(0x02, UNCOUNTED_BYTES), frame(0x00, 1), frame(0x89, 3), frame(0x80, 2)].concat();
        let second = UNCOUNTED_BYTES + 8;
        assert_eq!(tracked(&fragments[..second]), (0, None));
        assert_eq!(tracked(&fragments[..second + 7]), (2 * most, Some(6)), "as much as it may become");
        assert_eq!(tracked(&fragments[..second + 9]), (2 * most, Some(4)), "within a header");
        assert_eq!(tracked(&fragments), (2 * most, Some(0)));
        let mut tracker = FrameTracker::new(most, most);
        tracker.track(&frame(0x82, large)).expect("within the bound");
        tracker.message_freed();
        assert_eq!((tracker.needed_bytes(), tracker.readable_bytes()), (0, None));
    }

    #[test]
    fn the_bound_changes_with_the_first_message_and_not_with_a_ping() {
        let within = [frame(0x89, 125), frame(0x02, 200), frame(0x89, 3), frame(0x80, 100), frame(0x82, 400)].concat();
        assert!(FrameTracker::new(300, 400).track(&within).is_ok());
        assert!(FrameTracker::new(300, 400).track(&[frame(0x89, 3), frame(0x82, 301)].concat()).is_err());
        assert!(FrameTracker::new(300, 400).track(&[frame(0x82, 1), frame(0x82, 401)].concat()).is_err());
        assert!(FrameTracker::new(300, 400).track(&frame(0x89, 126)).is_err(), "a ping");
    }
}
