//! The plumbing under the stories: a server on a free port with a folder of its own, and devices that speak to it step by step.

#![allow(dead_code, unused_imports)]

mod binary;
mod bystander;
mod http;
pub mod operator;
mod phone;
pub mod push;
pub mod raw;
mod server;

pub use binary::{Binary, Starting, client, driftless};
pub use bystander::{Bystander, resident_kib};
pub use http::{Answer, Http, exchange};
pub use operator::{Operator, Reply, command, commanded};
pub use phone::{Phone, change, key, name, settings, value};
pub use raw::Raw;
pub use server::{Server, TestPool, token, token_for};

/// How long a story waits for what must happen. Never reached when all is well; it is no measure of speed.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Waits for what must happen, or fails with its name.
pub async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, happens).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not happen within {PATIENCE:?}"),
    }
}
