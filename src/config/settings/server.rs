//! The settings of the whole server.

use super::bounds::{MAX_DRAIN_S, MIN_HEARTBEAT_S};
use super::form::ValueForm;
use super::setting::{ConfigSetting, setting, unset, value};
use crate::config::server::{AwsSection, ServerConfig};
use crate::session::LONGEST_HEARTBEAT_S;
use crate::store::EngineConfig;

pub(super) const SERVER: &[ConfigSetting] = &[
    setting(
        "listen",
        || value(ServerConfig::default().listen),
        "Address and port to listen on, such as 127.0.0.1:7400, localhost:7400 or [::1]:7400. 7400 alone is a port of this machine only, :7400 is open on every address. With port 0 the system chooses a free port.",
    ).with_form(ValueForm::Address),
    setting("data", || value(ServerConfig::default().data), "The store's folder. It is created if it does not exist."),
    setting(
        "log",
        || value(ServerConfig::default().log),
        "The lowest level that is logged (error, warn, info, debug, trace), or a filter such as driftless=debug.",
    ),
    setting("log_format", || value(ServerConfig::default().log_format), "Format of a log line: text or json.").with_form(ValueForm::Choice(&["text", "json"])),
    setting(
        "log_lines_per_s",
        || value(ServerConfig::default().log_lines_per_s),
        "Lines of one kind that are logged in a second, on average; ten times as many may come at once, and errors ten times as often. What exceeds it is counted in one line. 0: no bound.",
    ).between(0, u32::MAX as u64),
    setting(
        "connections",
        || value(ServerConfig::default().connections),
        "Maximum number of open connections, WebSockets and plain HTTP together. Further ones wait to be accepted.",
    ).between(1, u32::MAX as u64),
    setting(
        "drain_wait_s",
        || value(ServerConfig::default().drain_wait_s),
        "Seconds that a stopping server still serves while /health/ready answers 503, so that load balancers send no new clients. They are a part of drain_s, half of it at most. driftless dev does not wait.",
    ).between(0, MAX_DRAIN_S),
    setting(
        "drain_s",
        || value(ServerConfig::default().drain_s),
        "Seconds from the signal that stops the server to the end of its process, 1 to 3600: the wait, the end of the sessions, the closing of the store. Keep it below what a supervisor allows. After the wait, sessions have the half at least to end, and devices reconnect at a random time within as long.",
    ).between(1, MAX_DRAIN_S),
    setting(
        "heartbeat_s",
        || value(ServerConfig::default().heartbeat_s),
        "Seconds after which an idle device sends a heartbeat, 10 to 1500. A session ends after two missed heartbeats. Up to 39 s the server's own ping comes before a proxy's timeout of 60 s. Use 300 for a very large number of sessions, and longer timeouts in proxies.",
    ).between(MIN_HEARTBEAT_S, LONGEST_HEARTBEAT_S as u64),
    setting(
        "public_url",
        unset,
        "The server's address for its clients, such as https://sync.example.com: the issuer of a user pool's tokens is this, a slash and the pool's id. Keep it once there are users. Unset: the address that the server listens on.",
    ),
    setting(
        "origins",
        || value(ServerConfig::default().origins),
        "Origins of web pages that may use every pool, over a WebSocket or HTTP, such as https://app.example.com. A pool for which neither the server nor the pool names any allows every origin.",
    ).with_form(ValueForm::Origins),
    setting("tls.certificate", unset, "PEM file with the server's certificate chain. Setting it together with tls.key enables TLS."),
    setting("tls.key", unset, "PEM file with the private key of the certificate."),
    setting(
        "admin.listen",
        unset,
        "Address and port for operators and monitoring: /admin/api, /metrics and the details of /health/ready, which the main port then does not serve. Unset: 127.0.0.1:7401. The same address as listen: one port serves all. Beyond loopback it uses the certificate, if one is set.",
    ).with_form(ValueForm::Address),
    setting(
        "admin.key",
        unset,
        "The operator key, a secret of at least 32 characters. The admin API (backup, history, export, erase, ...) requires it; without it the admin API is disabled.",
    ).secret(),
    setting(
        "admin.key_file",
        unset,
        "Instead of admin.key: a file that has the operator key, such as a mounted secret. Line ends at its end are cut.",
    ),
    setting(
        "store.engine",
        || value(EngineConfig::default().engine.name()),
        "The storage engine: sled, or redb (smaller files and a higher sustained write rate, but it reads the whole file when it opens). An existing folder can only be opened with the engine that created it.",
    ).with_form(ValueForm::Choice(&["sled", "redb"])),
    setting(
        "store.cache_mib",
        || value(EngineConfig::default().cache_mib),
        "Size of the engine's page cache in MiB, measured in pages as they are on disk. In memory they take two to three times as much.",
    ),
    setting(
        "store.journal_mib",
        || value(EngineConfig::default().journal_mib),
        "Size in MiB of the newest commits in memory before they are flushed to the engine's tree; a journal file takes up to twice as much. Under load both grow up to four times as much, and the part that is being flushed takes as much again.",
    ),
    setting(
        "store.reserve_mib",
        || value(EngineConfig::default().reserve_mib),
        "Disk space in MiB that is kept free: the server turns read-only before it uses it. 0: no reserve.",
    ),
    setting(
        "aws.region",
        || value(AwsSection::default().region),
        "The region by which AWS's clients name what this server has: in ARNs, and in the ids of user pools. A request may be signed for any region.",
    ),
    setting(
        "aws.account",
        unset,
        "The account of twelve digits that owns the pools of this configuration for AWS's clients. Unset: the account that was made first.",
    ),
];
