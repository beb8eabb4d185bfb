//! Helpers of the integration tests: a server on a free port with its own folder, and devices that send and receive one message at a time.

#![allow(dead_code, unused_imports)]

pub mod aws;
mod bystander;
pub mod commands;
mod device;
mod http;
pub mod operator;
mod process;
pub mod proxy;
pub mod push;
pub mod raw;
pub mod s3;
mod server;
mod serving_child;

pub use bystander::{Bystander, resident_kib};
pub use device::{TestDevice, change, key, name, settings, value};
pub use http::{DeviceHttp, DeviceHttpResponse, raw_request};
pub use operator::{OperatorClient, OperatorResponse, operator_command, operator_output};
pub use process::{DriftlessProcess, StartingProcess, client_output, driftless};
pub use raw::RawSocket;
pub use server::{TestPool, TestServer, token, token_for};
pub use serving_child::{ServingChild, log_field, send_signal, serve_command, serve_token};

/// How long a test waits for an event that must happen. A passing test never reaches it, so it measures no speed.
pub const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// Waits for an event that must happen; panics with its name after `TIMEOUT`.
pub async fn wait_for<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(TIMEOUT, event).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not happen within {TIMEOUT:?}"),
    }
}
