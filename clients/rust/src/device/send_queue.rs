//! The messages that a device sends besides its patches, in order.

use std::collections::VecDeque;

use driftless_protocol::{ClientMessage, DatasetName};

/// Messages that wait for the socket. A newer acknowledgement of a dataset replaces the older one, so a server that sends without reading
/// cannot make the queue grow. The device's task bounds the rest: it takes no command while the queue is long.
#[derive(Debug, Default)]
pub(crate) struct SendQueue(VecDeque<ClientMessage>);

impl SendQueue {
    pub(crate) fn push(&mut self, message: ClientMessage) {
        self.0.push_back(message);
    }

    /// Acknowledges a version, replacing an acknowledgement of the same dataset that still waits.
    pub(crate) fn push_ack(&mut self, dataset: &DatasetName, version: u64) {
        let is_same = |message: &&mut ClientMessage| matches!(message, ClientMessage::Ack { dataset: other, .. } if other == dataset);
        match self.0.iter_mut().find(is_same) {
            Some(ClientMessage::Ack { version: waiting, .. }) => *waiting = version,
            _ => self.push(ClientMessage::Ack { dataset: dataset.clone(), version }),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<ClientMessage> {
        self.0.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
