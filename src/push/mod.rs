//! Speaks to push gateways.

mod address;
mod answer;
mod apns;
mod config;
mod config_error;
mod credentials;
mod endpoint;
mod fcm;
mod notice;
mod provider_token;
mod retry_after;
#[cfg(test)]
mod sealed;
#[cfg(test)]
mod support;
mod vapid;
mod verdict;
mod webpush;

pub use config::Config;
pub use config_error::ConfigError;
pub use notice::{Form, Shown, Wake};
pub use verdict::{Fault, Verdict, Whom};
