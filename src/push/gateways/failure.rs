//! Why a wake failed, in kinds: for the operator who asks, for logs and for metrics. What is to be done about it is the verdict's.
//!
//! A cause is found where the failure happens and passed on as a value. Texts of errors are never searched.

use std::fmt;

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureCause {
    /// The server's name has no address, or the resolver gave none.
    NameNotFound,
    /// The endpoint's name leads to no address of the public internet.
    AddressRefused,
    /// No program listens at the address.
    ConnectionRefused,
    /// There is no way to the address.
    Unreachable,
    /// The proxy is not reached, or does not connect to the server.
    Proxy,
    /// No root certificate leads to the server's certificate.
    CertificateNotTrusted,
    /// The server's certificate has expired, or is not valid yet; this machine's clock may be wrong.
    CertificateExpired,
    /// The server's certificate is for another name.
    CertificateWrongName,
    /// The server's certificate has another fault.
    CertificateInvalid,
    /// The server does not speak TLS as it must, or not HTTP/2.
    Tls,
    /// The connection ended before the answer.
    ConnectionLost,
    /// No answer came in time.
    Timeout,
    /// Too many wakes wait for the gateway.
    TooManyWaiting,
    /// The gateway refuses the credential: key, certificate, service account, topic or sender.
    CredentialRefused,
    /// The token or subscription is no longer valid.
    TokenDead,
    /// The gateway refuses the payload for its size.
    PayloadTooLarge,
    /// The gateway refuses the message for another reason.
    MessageRefused,
    /// The gateway asks to send less.
    Throttled,
    /// The gateway failed.
    GatewayFailed,
    /// The server's configuration has no such app.
    UnknownApp,
}

impl FailureCause {
    /// A word for metrics and programs.
    pub fn label(self) -> &'static str {
        match self {
            FailureCause::NameNotFound => "name_not_found",
            FailureCause::AddressRefused => "address_refused",
            FailureCause::ConnectionRefused => "connection_refused",
            FailureCause::Unreachable => "unreachable",
            FailureCause::Proxy => "proxy",
            FailureCause::CertificateNotTrusted => "certificate_not_trusted",
            FailureCause::CertificateExpired => "certificate_expired",
            FailureCause::CertificateWrongName => "certificate_wrong_name",
            FailureCause::CertificateInvalid => "certificate_invalid",
            FailureCause::Tls => "tls",
            FailureCause::ConnectionLost => "connection_lost",
            FailureCause::Timeout => "timeout",
            FailureCause::TooManyWaiting => "too_many_waiting",
            FailureCause::CredentialRefused => "credential_refused",
            FailureCause::TokenDead => "token_dead",
            FailureCause::PayloadTooLarge => "payload_too_large",
            FailureCause::MessageRefused => "message_refused",
            FailureCause::Throttled => "throttled",
            FailureCause::GatewayFailed => "gateway_failed",
            FailureCause::UnknownApp => "unknown_app",
        }
    }
}

/// For people.
impl fmt::Display for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailureCause::NameNotFound => "name not found",
            FailureCause::AddressRefused => "address not on the public internet",
            FailureCause::ConnectionRefused => "connection refused",
            FailureCause::Unreachable => "no way to the address",
            FailureCause::Proxy => "no way through the proxy",
            FailureCause::CertificateNotTrusted => "certificate not trusted",
            FailureCause::CertificateExpired => "certificate expired or not valid yet",
            FailureCause::CertificateWrongName => "certificate for another name",
            FailureCause::CertificateInvalid => "certificate invalid",
            FailureCause::Tls => "no TLS with HTTP/2",
            FailureCause::ConnectionLost => "connection lost",
            FailureCause::Timeout => "timeout",
            FailureCause::TooManyWaiting => "too many wakes are waiting",
            FailureCause::CredentialRefused => "credential refused",
            FailureCause::TokenDead => "token dead",
            FailureCause::PayloadTooLarge => "payload too large",
            FailureCause::MessageRefused => "message refused",
            FailureCause::Throttled => "too many requests",
            FailureCause::GatewayFailed => "the gateway failed",
            FailureCause::UnknownApp => "unknown app",
        })
    }
}
