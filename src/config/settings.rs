//! The table of settings: name, default, form and help text of each one.

mod bounds;
mod form;
mod issuers;
mod limits;
mod listen;
mod pool;
mod push;
mod server;
mod setting;

use std::sync::LazyLock;

#[cfg(test)]
pub(super) use form::ValueForm;
pub(super) use form::from_document;
pub(super) use form::{found, found_list};
pub use setting::ConfigSetting;

/// All settings, in the order in which `driftless config` prints them. Those of one table stand together.
pub static SETTINGS: LazyLock<Vec<ConfigSetting>> =
    LazyLock::new(|| [server::SERVER, limits::LIMITS, pool::POOL, limits::RATES, push::PUSH, issuers::ISSUERS].concat());
