//! Where frames begin and end in the bytes of an HTTP/2 connection (RFC 9113 section 4.1), and the two that are made here.

/// What a client says before its first frame (RFC 9113 section 3.4), in bytes.
pub(super) const PREFACE_BYTES: usize = 24;

const HEAD_BYTES: usize = 9;

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
pub(super) struct Head {
    pub(super) bytes: [u8; HEAD_BYTES],
}

impl Head {
    fn payload_bytes(&self) -> usize {
        usize::from(self.bytes[0]) << 16 | usize::from(self.bytes[1]) << 8 | usize::from(self.bytes[2])
    }

    /// Settings that want an acknowledgement.
    pub(super) fn is_settings(&self) -> bool {
        self.bytes[3] == SETTINGS && self.bytes[4] & ACK == 0
    }

    pub(super) fn is_acknowledgement(&self) -> bool {
        self.bytes[3] == SETTINGS && self.bytes[4] & ACK != 0
    }

    /// The stream that this frame opens, or gives trailers.
    pub(super) fn stream_of_headers(&self) -> Option<u32> {
        let [.., a, b, c, d] = self.bytes;
        (self.bytes[3] == HEADERS).then_some(u32::from_be_bytes([a & 0x7f, b, c, d]))
    }

    /// Whether only a CONTINUATION may follow.
    fn leaves_headers_open(&self) -> bool {
        [HEADERS, PUSH_PROMISE, CONTINUATION].contains(&self.bytes[3]) && self.bytes[4] & END_HEADERS == 0
    }
}

/// Follows one direction of a connection.
#[derive(Clone, Copy, Default)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES],
    /// How much of the head there is.
    have: usize,
    /// How much of the payload is missing.
    missing: usize,
    headers_open: bool,
}

/// What some bytes were.
pub(super) enum Part {
    /// A head that is not complete yet.
    Begun,
    /// The end of a head.
    Head(Head),
    /// Payload.
    Payload,
}

impl Frames {
    /// Goes on with these bytes, but not past the end of a head or of a frame; says how many they were. There is at least one.
    pub(super) fn step(&mut self, bytes: &[u8]) -> (usize, Part) {
        if self.missing > 0 {
            let taken = self.missing.min(bytes.len());
            self.missing -= taken;
            return (taken, Part::Payload);
        }
        let taken = (HEAD_BYTES - self.have).min(bytes.len());
        self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
        self.have += taken;
        if self.have < HEAD_BYTES {
            return (taken, Part::Begun);
        }
        let head = Head { bytes: self.head };
        self.have = 0;
        self.missing = head.payload_bytes();
        self.headers_open = head.leaves_headers_open();
        (taken, Part::Head(head))
    }

    /// Whether another frame may come here.
    pub(super) fn between(&self) -> bool {
        self.have == 0 && self.missing == 0 && !self.headers_open
    }
}

/// SETTINGS with one setting (RFC 9113 section 6.5.2).
pub(super) fn stream_limit(streams: u32) -> Vec<u8> {
    let mut payload = MAX_CONCURRENT_STREAMS.to_be_bytes().to_vec();
    payload.extend(streams.to_be_bytes());
    frame(SETTINGS, &payload)
}

/// GOAWAY without an error (RFC 9113 section 6.8).
pub(super) fn go_away(last_stream: u32) -> Vec<u8> {
    let mut payload = last_stream.to_be_bytes().to_vec();
    payload.extend(0u32.to_be_bytes());
    frame(GOAWAY, &payload)
}

/// A short frame of the connection itself.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, payload.len() as u8, kind, 0, 0, 0, 0, 0];
    bytes.extend(payload);
    bytes
}
