//! Speaks to push gateways.

mod address;
mod answer;
mod apns;
mod bearer;
mod config;
mod config_error;
mod connect;
mod credentials;
mod endpoint;
mod fcm;
#[cfg(test)]
mod h2_stand_in;
mod held;
mod lane;
mod lanes;
#[cfg(test)]
mod lanes_tests;
mod notice;
mod pace;
mod provider_token;
mod retry_after;
#[cfg(test)]
mod sealed;
mod strangers;
#[cfg(test)]
mod support;
mod tls;
#[cfg(test)]
mod tls_stand_in;
mod vapid;
mod verdict;
mod webpush;

pub use config::Config;
pub use config_error::ConfigError;
pub use notice::{Form, Shown, Wake};
pub use verdict::{Fault, Verdict, Whom};
