//! The settings of limits, with the reasons of their defaults.

use ipnet::IpNet;

/// The limits of one address. 0: no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressLimits {
    /// Networks that have no limits.
    pub exempt: Vec<IpNet>,
    /// Connections that are open at once.
    pub connections: u32,
    /// Handshakes of sessions, and HTTP requests with a token, in a second on average.
    pub handshakes_per_s: u32,
    /// Tokens that are refused, in a minute on average.
    pub refused_tokens_per_min: u32,
    /// Bytes that are received, in a second on average.
    pub bytes_per_s: u64,
}

/// The limits of one pool. 0: no limit, which is the default: a server does not know how large an app is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolRates {
    /// Sessions that are open at once.
    pub sessions: u32,
    /// Handshakes of sessions, and HTTP requests, in a second on average.
    pub handshakes_per_s: u32,
    /// Tokens that were refused in a minute, before clients that had one refused wait.
    pub refused_tokens_per_min: u32,
    /// Bytes that are received, in a second on average.
    pub bytes_per_s: u64,
}

impl Default for AddressLimits {
    /// An office or a mobile network with a few thousand devices behind one address meets none of them, also when all devices reconnect within
    /// ten seconds; a single machine that is turned against the server does.
    fn default() -> AddressLimits {
        AddressLimits {
            exempt: ["127.0.0.0/8", "::1/128"].iter().filter_map(|network| network.parse().ok()).collect(),
            connections: 4096,
            handshakes_per_s: 200,
            refused_tokens_per_min: 600,
            bytes_per_s: 16 * 1024 * 1024,
        }
    }
}

impl AddressLimits {
    /// Whether nothing of this address is limited.
    pub fn is_exempt(&self, address: std::net::IpAddr) -> bool {
        self.exempt.iter().any(|network| network.contains(&address))
    }
}
