//! The configuration: one TOML file, the environment and command line flags, all with the same names.
//!
//! Flags take precedence over the environment, the environment over the file. An unknown key or variable is an error that names the nearest
//! known one, and every error names its file and line, its variable or its flag.
//!
//! - A default stands once, in the part of the server that uses it (`WakeSettings::default()`, `EngineConfig::default()`, ...). The table of
//!   settings only refers to it, so what `driftless config` prints is what the server uses.
//! - No secret is ever printed: neither by `Debug` nor in an error.
//! - Only `app` and `main` import this module; each part of the server has a configuration type of its own, which is made here.

mod check;
mod document;
mod environment;
mod error;
mod example;
mod files;
mod flags;
mod key_path;
mod limits;
mod names;
mod origins;
mod pool;
mod server;
mod settings;
mod shape;
mod source;

pub use environment::{Environment, is_known};
pub use error::ConfigError;
pub use example::ExampleConfig;
pub use flags::{Flags, StoreFlags};
pub use pool::PoolSection;
pub use server::{DevelopmentKeyUse, LogFormat, ServerConfig};
pub use settings::{ConfigSetting, SETTINGS};
pub use source::read;

#[cfg(test)]
mod error_tests;
#[cfg(test)]
mod tests;
