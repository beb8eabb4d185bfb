//! Bad input on every layer. The server answers each attack with a refusal or a close code, and the sessions of other users go on.

mod access;
mod floods;
mod http;
mod memory;
mod messages;
mod sizes;
mod slowness;
mod websocket;
