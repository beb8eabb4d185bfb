//! A change of one version: as the committer publishes it, and as a ring holds it.

use bytes::Bytes;
use driftless_protocol::{Codec, DatasetName, Record, ServerMessage};

use super::frame::encode_frame;

/// A change as it is published: a `changes` message of exactly one version.
#[derive(Debug)]
pub struct PublishedChange {
    pub(super) dataset: DatasetName,
    pub(super) version: u64,
    /// The session that wrote the change; 0 if none did.
    pub(super) writer: u64,
    message: ServerMessage,
}

/// The same as a frame, encoded once for all sessions that use a codec.
#[derive(Debug)]
pub struct EncodedChange {
    version: u64,
    writer: u64,
    msgpack: Option<Bytes>,
    json: Option<Bytes>,
}

impl PublishedChange {
    /// `writer` is the number of the session that wrote the change, 0 for a write without a session.
    pub fn new(dataset: DatasetName, version: u64, writer: u64, message: ServerMessage) -> PublishedChange {
        PublishedChange { dataset, version, writer, message }
    }

    pub fn dataset(&self) -> &DatasetName {
        &self.dataset
    }

    /// What its records take in memory, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let ServerMessage::Changes { records, .. } = &self.message else { return 0 };
        records.iter().map(Record::memory_bytes).sum()
    }

    /// Encodes it in the codecs that its readers use.
    pub(super) fn encode(&self, is_used: impl Fn(Codec) -> bool) -> EncodedChange {
        let encoded = |codec: Codec| is_used(codec).then(|| Bytes::from(encode_frame(codec, &self.message).into_boxed_slice()));
        EncodedChange { version: self.version, writer: self.writer, msgpack: encoded(Codec::MsgPack), json: encoded(Codec::Json) }
    }
}

impl EncodedChange {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn writer(&self) -> u64 {
        self.writer
    }

    /// The frame in one codec; `None` if no session that used it was subscribed when the change was published.
    pub fn frame(&self, codec: Codec) -> Option<&Bytes> {
        match codec {
            Codec::MsgPack => self.msgpack.as_ref(),
            Codec::Json => self.json.as_ref(),
        }
    }

    /// What it takes in memory, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<EncodedChange>() + [&self.msgpack, &self.json].into_iter().flatten().map(Bytes::len).sum::<usize>()
    }
}
