//! Finds frame boundaries in the bytes of an HTTP/2 connection (RFC 9113 section 4.1), and encodes the two frames that the gateway injects.

/// Bytes that a client sends before its first frame (RFC 9113 section 3.4).
pub(crate) const PREFACE_BYTES: usize = 24;

const HEADER_BYTES: usize = 9;

const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const PUSH_PROMISE: u8 = 0x5;
const GOAWAY: u8 = 0x7;
const CONTINUATION: u8 = 0x9;

const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

const MAX_CONCURRENT_STREAMS: u16 = 0x3;

/// The nine bytes before a frame's payload.
#[derive(Clone, Copy)]
pub(crate) struct FrameHeader {
    pub(crate) bytes: [u8; HEADER_BYTES],
}

impl FrameHeader {
    fn payload_bytes(&self) -> usize {
        usize::from(self.bytes[0]) << 16 | usize::from(self.bytes[1]) << 8 | usize::from(self.bytes[2])
    }

    /// Whether it is SETTINGS that the peer must acknowledge.
    pub(crate) fn is_settings(&self) -> bool {
        self.bytes[3] == SETTINGS && self.bytes[4] & ACK == 0
    }

    pub(crate) fn is_settings_ack(&self) -> bool {
        self.bytes[3] == SETTINGS && self.bytes[4] & ACK != 0
    }

    /// The stream of a HEADERS frame, which opens the stream or holds its trailers.
    pub(crate) fn stream_of_headers(&self) -> Option<u32> {
        let [.., a, b, c, d] = self.bytes;
        (self.bytes[3] == HEADERS).then_some(u32::from_be_bytes([a & 0x7f, b, c, d]))
    }

    /// Whether only a CONTINUATION frame may follow.
    fn expects_continuation(&self) -> bool {
        [HEADERS, PUSH_PROMISE, CONTINUATION].contains(&self.bytes[3]) && self.bytes[4] & END_HEADERS == 0
    }
}

/// Tracks the frames in one direction of a connection.
#[derive(Clone, Copy, Default)]
pub(crate) struct FrameParser {
    header: [u8; HEADER_BYTES],
    header_bytes_read: usize,
    payload_bytes_left: usize,
    expects_continuation: bool,
}

/// What [`FrameParser::advance`] consumed.
pub(crate) enum FramePart {
    /// The beginning of a header.
    PartialHeader,
    /// The last bytes of this header.
    Header(FrameHeader),
    Payload,
}

impl FrameParser {
    /// Consumes bytes up to the end of a header or of a frame at most, and returns their number. `bytes` must not be empty.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> (usize, FramePart) {
        if self.payload_bytes_left > 0 {
            let consumed = self.payload_bytes_left.min(bytes.len());
            self.payload_bytes_left -= consumed;
            return (consumed, FramePart::Payload);
        }
        let consumed = (HEADER_BYTES - self.header_bytes_read).min(bytes.len());
        self.header[self.header_bytes_read..self.header_bytes_read + consumed].copy_from_slice(&bytes[..consumed]);
        self.header_bytes_read += consumed;
        if self.header_bytes_read < HEADER_BYTES {
            return (consumed, FramePart::PartialHeader);
        }
        let header = FrameHeader { bytes: self.header };
        self.header_bytes_read = 0;
        self.payload_bytes_left = header.payload_bytes();
        self.expects_continuation = header.expects_continuation();
        (consumed, FramePart::Header(header))
    }

    /// Whether any frame may follow here.
    pub(crate) fn is_at_boundary(&self) -> bool {
        self.header_bytes_read == 0 && self.payload_bytes_left == 0 && !self.expects_continuation
    }
}

/// SETTINGS with `SETTINGS_MAX_CONCURRENT_STREAMS` (RFC 9113 section 6.5.2).
pub(crate) fn stream_limit_frame(streams: u32) -> Vec<u8> {
    let mut payload = MAX_CONCURRENT_STREAMS.to_be_bytes().to_vec();
    payload.extend(streams.to_be_bytes());
    connection_frame(SETTINGS, &payload)
}

/// GOAWAY with `NO_ERROR` (RFC 9113 section 6.8).
pub(crate) fn go_away_frame(last_stream: u32) -> Vec<u8> {
    let mut payload = last_stream.to_be_bytes().to_vec();
    payload.extend(0u32.to_be_bytes());
    connection_frame(GOAWAY, &payload)
}

/// A frame on stream 0 with a payload of less than 256 bytes.
fn connection_frame(frame_type: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, payload.len() as u8, frame_type, 0, 0, 0, 0, 0];
    bytes.extend(payload);
    bytes
}
