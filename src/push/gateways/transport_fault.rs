//! Why a server could not be reached or gave no answer: found from the values of errors, never from their texts.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError};

use super::failure::FailureCause;

/// A failure to reach a server, or to get its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TransportFault {
    pub(super) cause: FailureCause,
    detail: String,
}

impl TransportFault {
    pub(super) fn new(cause: FailureCause) -> TransportFault {
        TransportFault { cause, detail: String::new() }
    }

    /// The detail is the text of an error of the operating system or a library: it names no token and no path.
    pub(super) fn with_detail(cause: FailureCause, detail: impl fmt::Display) -> TransportFault {
        TransportFault { cause, detail: detail.to_string() }
    }

    /// The same fault, with the server's name in front of the detail. Only for servers that the configuration names.
    pub(super) fn at(self, server: &str) -> TransportFault {
        let detail = if self.detail.is_empty() { server.to_owned() } else { format!("{server}: {}", self.detail) };
        TransportFault { cause: self.cause, detail }
    }

    /// What failed while a connection was opened or used.
    pub(super) fn of_io(error: &io::Error) -> TransportFault {
        match error.get_ref() {
            Some(inner) => TransportFault::in_chain(inner).unwrap_or_else(|| of_kind(error)),
            None => of_kind(error),
        }
    }

    pub(super) fn of_http2(error: &h2::Error) -> TransportFault {
        match error.get_io() {
            Some(error) => TransportFault::of_io(error),
            None => TransportFault::with_detail(FailureCause::ConnectionLost, error),
        }
    }

    /// The first cause that an error or what led to it has; `None`: no error of the chain is known.
    pub(super) fn in_chain(error: &(dyn Error + 'static)) -> Option<TransportFault> {
        let mut chain = std::iter::successors(Some(error), |error| (**error).source());
        chain.find_map(|error| {
            if let Some(fault) = error.downcast_ref::<TransportFault>() {
                return Some(fault.clone());
            }
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Some(of_tls(tls));
            }
            if error.is::<tokio::time::error::Elapsed>() {
                return Some(TransportFault::new(FailureCause::Timeout));
            }
            // An error of the operating system that wraps another one does not have it as its source.
            error.downcast_ref::<io::Error>().map(TransportFault::of_io)
        })
    }
}

impl fmt::Display for TransportFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail.is_empty() {
            true => write!(f, "{}", self.cause),
            false => write!(f, "{} ({})", self.cause, self.detail),
        }
    }
}

impl Error for TransportFault {}

fn of_kind(error: &io::Error) -> TransportFault {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => TransportFault::new(FailureCause::ConnectionRefused),
        ErrorKind::TimedOut => TransportFault::new(FailureCause::Timeout),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
            TransportFault::new(FailureCause::ConnectionLost)
        }
        _ => TransportFault::with_detail(FailureCause::Unreachable, error),
    }
}

fn of_tls(error: &rustls::Error) -> TransportFault {
    let cause = match error {
        rustls::Error::InvalidCertificate(fault) => match fault {
            // A signature is wrong where an authority was made anew under its old name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => FailureCause::CertificateNotTrusted,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => FailureCause::CertificateExpired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => FailureCause::CertificateWrongName,
            _ => FailureCause::CertificateInvalid,
        },
        // The server speaks of our client certificate.
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => FailureCause::CredentialRefused,
        _ => FailureCause::Tls,
    };
    TransportFault::with_detail(cause, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(error: rustls::Error) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    #[test]
    fn an_error_has_its_cause_however_deep_it_stands() {
        let cause = |error: rustls::Error| TransportFault::of_io(&wrapped(error)).cause;
        let certificate = |fault| cause(rustls::Error::InvalidCertificate(fault));
        assert_eq!(certificate(CertificateError::UnknownIssuer), FailureCause::CertificateNotTrusted);
        assert_eq!(certificate(CertificateError::BadSignature), FailureCause::CertificateNotTrusted);
        assert_eq!(certificate(CertificateError::Expired), FailureCause::CertificateExpired);
        assert_eq!(certificate(CertificateError::NotValidYet), FailureCause::CertificateExpired);
        assert_eq!(certificate(CertificateError::NotValidForName), FailureCause::CertificateWrongName);
        assert_eq!(certificate(CertificateError::Revoked), FailureCause::CertificateInvalid);
        assert_eq!(cause(rustls::Error::AlertReceived(AlertDescription::CertificateExpired)), FailureCause::CredentialRefused);
        assert_eq!(cause(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)), FailureCause::Tls);
        let outer = io::Error::other(TransportFault::new(FailureCause::NameNotFound));
        assert_eq!(TransportFault::in_chain(&outer).map(|fault| fault.cause), Some(FailureCause::NameNotFound));
        let none = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(TransportFault::of_io(&none).cause, FailureCause::Unreachable);
        assert_eq!(TransportFault::in_chain(&fmt::Error), None);
    }

    #[test]
    fn a_fault_names_its_cause_its_server_and_what_the_system_said() {
        let fault = TransportFault::with_detail(FailureCause::NameNotFound, "no such name");
        assert_eq!(fault.to_string(), "name not found (no such name)");
        assert_eq!(fault.at("x.invalid").to_string(), "name not found (x.invalid: no such name)");
        assert_eq!(TransportFault::new(FailureCause::Timeout).at("a").to_string(), "timeout (a)");
        assert_eq!(TransportFault::new(FailureCause::Timeout).to_string(), "timeout");
    }
}
