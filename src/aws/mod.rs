//! AWS's wire: what unchanged AWS clients send and expect, apart from what it means here.
//!
//! [`route`](route::route) says for which service a request is, from its head alone. [`sigv4`] checks its signature. [`query`] (sts, iam, sns), [`json`]
//! (cognito-identity, cognito-idp) and [`rest`] (cognito-sync) read the call and write the answer; [`error`] writes what went wrong in the words
//! and with the status codes of AWS. S3's wire is a library's; only requests that never reach it are refused here.
//!
//! [`endpoint`] puts them together: it alone reads the clock and asks `access` who signed. Everything else takes the time, the key and the body as
//! arguments. Each function is bounded by the limits that
//! stand beside it, whatever the bytes of a request are, and none keeps anything of a request.

pub mod answer;
mod call;
mod call_body;
pub mod cors;
mod dispatch;
pub mod endpoint;
pub mod error;
pub mod head;
mod iam;
mod identity;
pub mod json;
pub mod media;
pub mod parameters;
pub mod percent;
pub mod query;
mod request_context;
pub mod rest;
pub mod route;
pub mod service;
pub mod services;
pub mod sigv4;
mod sts;
mod sync;
pub mod timestamp;
mod user_pools;

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod route_tests;
