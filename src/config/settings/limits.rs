//! The settings of limits, and of the proxies that say who a client is.

use super::form::ValueForm;
use super::setting::{ConfigSetting, setting, value};
use crate::config::limits::{LimitsSection, ProxiesSection, RatesSection};

pub(super) const LIMITS: &[ConfigSetting] = &[
    setting(
        "limits.exempt",
        || value(LimitsSection::default().exempt),
        "Addresses and networks, as in 192.0.2.0/24, whose clients have no limits. The others have the limits of limits.address_*: each address of IPv4 for itself, of IPv6 each /64, and a /48 together sixteen times as much. 0 is no limit.",
    ).with_form(ValueForm::Networks),
    setting(
        "limits.address_connections",
        || value(LimitsSection::default().address_connections),
        "Connections of one address that may be open at once. Further ones are closed. 0: no limit.",
    ).between(0, u32::MAX as u64),
    setting(
        "limits.address_handshakes_per_s",
        || value(LimitsSection::default().address_handshakes_per_s),
        "Handshakes and HTTP requests with a token of one address in a second, on average; those of ten seconds may come at once. 0: no limit.",
    ).between(0, u32::MAX as u64),
    setting(
        "limits.address_refused_tokens_per_min",
        || value(LimitsSection::default().address_refused_tokens_per_min),
        "Forged or unreadable tokens, and wrong operator keys, of one address in a minute, on average; those of ten seconds may come at once. Then no token of that address is looked at for a while. 0: no limit.",
    ).between(0, u32::MAX as u64),
    setting(
        "limits.address_bytes_per_s",
        || value(LimitsSection::default().address_bytes_per_s),
        "Bytes that one address may send in a second, on average; those of ten seconds may come at once. Sessions beyond it are read more slowly, requests are refused. 0: no limit.",
    ).between(0, i64::MAX as u64),
    setting(
        "limits.identity_received_mib",
        || value(LimitsSection::default().identity_received_mib),
        "MiB of messages and request bodies over 32 KiB that one identity may have on their way at once, with what is decoded of them. Further ones wait and are not read meanwhile; a request over HTTP is refused after 20 seconds.",
    ).between(5, 64 * 1024),
    setting(
        "limits.identity_answers_mib",
        || value(LimitsSection::default().identity_answers_mib),
        "MiB of answers to one identity that its devices have not read yet. What is asked beyond waits until they have.",
    ).between(4, 64 * 1024),
    setting(
        "limits.received_mib",
        || value(LimitsSection::default().received_mib),
        "The same as limits.identity_received_mib, for all identities together.",
    ).between(5, 64 * 1024),
    setting(
        "limits.answers_mib",
        || value(LimitsSection::default().answers_mib),
        "The same as limits.identity_answers_mib, for all identities together.",
    ).between(4, 64 * 1024),
    setting(
        "proxies.trusted",
        || value(ProxiesSection::default().trusted),
        "Addresses and networks of your own proxies and load balancers. What they say of a client's address is believed, and they have no limits themselves.",
    ).with_form(ValueForm::Networks),
    setting(
        "proxies.header",
        || value(ProxiesSection::default().header),
        "The header in which trusted proxies name the client: x-forwarded-for, or forwarded (RFC 7239). The other one is not read.",
    ).with_form(ValueForm::Choice(&["x-forwarded-for", "forwarded"])),
    setting(
        "proxies.protocol",
        || value(ProxiesSection::default().protocol),
        "none, or proxy-v2: every connection of a trusted proxy begins with a header of the PROXY protocol, version 2.",
    ).with_form(ValueForm::Choice(&["none", "proxy-v2"])),
];

pub(super) const RATES: &[ConfigSetting] = &[
    setting(
        "pools.*.rates.sessions",
        || value(RatesSection::default().sessions),
        "Sessions of the pool that may be open at once. 0: no limit.",
    )
    .between(0, u32::MAX as u64),
    setting(
        "pools.*.rates.handshakes_per_s",
        || value(RatesSection::default().handshakes_per_s),
        "Handshakes and HTTP requests of the pool in a second, on average; those of ten seconds may come at once. 0: no limit.",
    )
    .between(0, u32::MAX as u64),
    setting(
        "pools.*.rates.refused_tokens_per_min",
        || value(RatesSection::default().refused_tokens_per_min),
        "Tokens for the pool that are refused in a minute, on average. Beyond it an address that had one refused waits a minute for another; no other address waits. 0: no limit.",
    )
    .between(0, u32::MAX as u64),
    setting(
        "pools.*.rates.bytes_per_s",
        || value(RatesSection::default().bytes_per_s),
        "Bytes that the pool's devices may send in a second, on average; those of ten seconds may come at once. 0: no limit.",
    )
    .between(0, i64::MAX as u64),
    setting(
        "pools.*.rates.identity_work_bytes_per_s",
        || value(RatesSection::default().identity_work_bytes_per_s),
        "Bytes that the devices of one person may send and be sent in a second, on average, with 1 KiB for each message and request; those of ten seconds may come at once. Sessions beyond it are read more slowly, requests are refused: no app needs as much, and somebody who turns an account against the server does. 0: no limit.",
    )
    .between(0, i64::MAX as u64),
];
