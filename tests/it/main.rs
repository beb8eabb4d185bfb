//! Integration tests against the real server, with real sockets, real files and the real client library. Their helpers are in `support`.

#![allow(clippy::unwrap_used)]

mod support;

mod admin;
mod command_line;
mod datasets;
mod failing;
mod hostile;
mod lifecycle;
mod logs;
mod over_http;
mod patch_numbers;
mod pauses;
mod preferences;
mod proxies;
mod push;
mod reaping;
mod restoring;
mod serving;
mod sessions;
mod tokens;
mod values;
