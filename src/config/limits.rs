//! The tables `[limits]`, `[proxies]` and `[pools.NAME.rates]`.

use ipnet::IpNet;
use serde::Deserialize;

use crate::http::{ForwardedHeader, ProxiesConfig, ProxyProtocol};
use crate::limits::{AddressLimits, MemoryLimits, PoolRates};

/// [`AddressLimits`] as the file has them.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LimitsSection {
    pub(super) exempt: Vec<IpNet>,
    pub(super) address_connections: u32,
    pub(super) address_handshakes_per_s: u32,
    pub(super) address_refused_tokens_per_min: u32,
    pub(super) address_bytes_per_s: u64,
    pub(super) identity_received_mib: u32,
    pub(super) identity_answers_mib: u32,
    pub(super) received_mib: u32,
    pub(super) answers_mib: u32,
}

impl Default for LimitsSection {
    fn default() -> LimitsSection {
        let AddressLimits { exempt, connections, handshakes_per_s, refused_tokens_per_min, bytes_per_s } = AddressLimits::default();
        let MemoryLimits { identity_received_mib, identity_answers_mib, received_mib, answers_mib } = MemoryLimits::default();
        LimitsSection {
            identity_received_mib,
            identity_answers_mib,
            received_mib,
            answers_mib,
            exempt,
            address_connections: connections,
            address_handshakes_per_s: handshakes_per_s,
            address_refused_tokens_per_min: refused_tokens_per_min,
            address_bytes_per_s: bytes_per_s,
        }
    }
}

impl LimitsSection {
    pub(super) fn of_addresses(&self) -> AddressLimits {
        AddressLimits {
            exempt: self.exempt.clone(),
            connections: self.address_connections,
            handshakes_per_s: self.address_handshakes_per_s,
            refused_tokens_per_min: self.address_refused_tokens_per_min,
            bytes_per_s: self.address_bytes_per_s,
        }
    }

    pub(super) fn of_memory(&self) -> MemoryLimits {
        let LimitsSection { identity_received_mib, identity_answers_mib, received_mib, answers_mib, .. } = *self;
        MemoryLimits { identity_received_mib, identity_answers_mib, received_mib, answers_mib }
    }
}

/// [`ProxiesConfig`] as the file has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ProxiesSection {
    pub(super) trusted: Vec<IpNet>,
    pub(super) header: ForwardedHeader,
    pub(super) protocol: ProxyProtocol,
}

impl ProxiesSection {
    pub(super) fn proxies(&self) -> ProxiesConfig {
        ProxiesConfig { trusted: self.trusted.clone(), header: self.header, protocol: self.protocol }
    }
}

/// [`PoolRates`] as the file has them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RatesSection {
    pub(super) sessions: u32,
    pub(super) handshakes_per_s: u32,
    pub(super) refused_tokens_per_min: u32,
    pub(super) bytes_per_s: u64,
    pub(super) identity_work_bytes_per_s: u64,
}

impl Default for RatesSection {
    fn default() -> RatesSection {
        let PoolRates { sessions, handshakes_per_s, refused_tokens_per_min, bytes_per_s, identity_work_bytes_per_s } = PoolRates::default();
        RatesSection { sessions, handshakes_per_s, refused_tokens_per_min, bytes_per_s, identity_work_bytes_per_s }
    }
}

impl RatesSection {
    pub(super) fn of_pool(self) -> PoolRates {
        let RatesSection { sessions, handshakes_per_s, refused_tokens_per_min, bytes_per_s, identity_work_bytes_per_s } = self;
        PoolRates { sessions, handshakes_per_s, refused_tokens_per_min, bytes_per_s, identity_work_bytes_per_s }
    }
}
