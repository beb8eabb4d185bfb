//! Who the request in progress on a connection is of, as far as it has proved it: what places of slow transfers its body and its response may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::http::Extensions;

use crate::session::TransferParty;

/// Clones share it. The connection has one, and each of its requests carries a clone.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestParty(Arc<AtomicU8>);

const UNAUTHENTICATED: u8 = 0;
const DEVICE: u8 = 1;
const OPERATOR: u8 = 2;

impl RequestParty {
    /// Another request begins: what the one before it has proved does not count for it.
    pub(super) fn request_begun(&self) {
        self.0.store(UNAUTHENTICATED, Ordering::Relaxed);
    }

    /// A request was authenticated. Without effect on one that came over no connection of the server.
    pub(super) fn authenticated(extensions: &Extensions, party: TransferParty) {
        if let Some(RequestParty(shared)) = extensions.get::<RequestParty>() {
            let number = match party {
                TransferParty::Unauthenticated => UNAUTHENTICATED,
                TransferParty::Device => DEVICE,
                TransferParty::Operator => OPERATOR,
            };
            shared.store(number, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self) -> TransferParty {
        match self.0.load(Ordering::Relaxed) {
            DEVICE => TransferParty::Device,
            OPERATOR => TransferParty::Operator,
            _ => TransferParty::Unauthenticated,
        }
    }
}
