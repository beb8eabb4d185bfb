//! Stories of sleeping devices: a real server, a stand-in gateway that checks what the real ones check.

mod firefox;
mod gateways;
mod killed;
mod operators;
mod registering;
mod waking;
