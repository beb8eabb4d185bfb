//! What a device says besides its patches, in order.

use std::collections::VecDeque;

use driftless_protocol::{ClientMessage, DatasetName};

/// Messages that wait for the socket. A newer acknowledgement takes an older one's place, so a server that talks
/// without reading fills nothing here; the rest is bounded by the driver, which takes no commands while much waits.
#[derive(Debug, Default)]
pub(crate) struct Outgoing(VecDeque<ClientMessage>);

impl Outgoing {
    /// Puts a message behind the others.
    pub(crate) fn push(&mut self, message: ClientMessage) {
        self.0.push_back(message);
    }

    /// Acknowledges a version, in the place of an acknowledgement of the same dataset that still waits.
    pub(crate) fn ack(&mut self, dataset: &DatasetName, version: u64) {
        let same = |message: &&mut ClientMessage| matches!(message, ClientMessage::Ack { dataset: other, .. } if other == dataset);
        match self.0.iter_mut().find(same) {
            Some(ClientMessage::Ack { version: waiting, .. }) => *waiting = version,
            _ => self.push(ClientMessage::Ack { dataset: dataset.clone(), version }),
        }
    }

    /// The message that goes next.
    pub(crate) fn pop(&mut self) -> Option<ClientMessage> {
        self.0.pop_front()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The connection they were for is gone.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
