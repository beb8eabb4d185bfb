//! Bad input of every layer. Each attack ends with a clear refusal or close code, and a bystander's session goes on as before.

mod access;
mod floods;
mod http;
mod messages;
mod sizes;
mod slowness;
mod websocket;
