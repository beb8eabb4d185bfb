//! The table of settings: name, default and help text of each one.

mod issuers;
mod pool;
mod push;
mod server;
mod setting;

use std::sync::LazyLock;

pub use setting::ConfigSetting;

/// All settings, in the order in which `driftless config` prints them. Those of one table stand together.
pub static SETTINGS: LazyLock<Vec<ConfigSetting>> = LazyLock::new(|| [server::SERVER, pool::POOL, push::PUSH, issuers::ISSUERS].concat());
