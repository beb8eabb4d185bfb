//! Integration tests against the real server, with real sockets, real files and the real client library. Their helpers are in `support`.

#![allow(clippy::unwrap_used)]

mod support;

mod admin;
mod aws;
mod aws_access;
mod aws_identity;
mod certificates;
mod cognito_sync;
mod command_line;
mod datasets;
mod development_key;
mod devices;
mod documents;
mod draining;
mod exit_codes;
mod failing;
mod hostile;
mod json_shapes;
mod lifecycle;
mod limits;
mod listeners;
mod logs;
mod objects;
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
mod stopping;
mod tokens;
mod user_pools;
mod values;
