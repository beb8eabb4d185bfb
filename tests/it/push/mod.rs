//! Wakes of offline devices: a real server, and a stand-in gateway that checks requests as the real gateways do.

mod causes;
mod firefox;
mod gateways;
mod killed;
mod operators;
mod registering;
mod waking;
