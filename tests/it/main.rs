//! Stories against the real server: real sockets, real files, the real client library. The plumbing is in `support`.

#![allow(clippy::unwrap_used)]

mod support;

mod admin;
mod datasets;
mod failing;
mod hostile;
mod logs;
mod preferences;
mod push;
mod reaping;
mod restoring;
mod serving;
mod sessions;
