//! Stories against the real server: real sockets, real files, the real client library. The plumbing is in `support`.

mod support;

mod datasets;
mod hostile;
mod sessions;
