//! Where a handshake or a request comes from.

use super::drain::{DrainControl, DrainWatch};
use crate::limits::{ClientAddress, ConnectionCapacity};
use crate::origin::RequestOrigin;

/// What is known of a client before it has proved who it is.
#[derive(Clone, Debug)]
pub struct RequestSource {
    /// The web page that made the request, or an app.
    pub origin: RequestOrigin,
    pub client: ClientAddress,
    /// The connections of the server.
    pub capacity: ConnectionCapacity,
    /// The drain of the port that it came over.
    pub drain: DrainWatch,
}

impl RequestSource {
    /// An app of this process, which has no limits: for tests and load.
    pub fn of_this_process() -> RequestSource {
        let client = ClientAddress::without_limits(std::net::Ipv4Addr::LOCALHOST.into());
        let (capacity, drain) = (ConnectionCapacity::new(u32::MAX), DrainControl::default().watch());
        RequestSource { origin: RequestOrigin::App, client, capacity, drain }
    }
}
