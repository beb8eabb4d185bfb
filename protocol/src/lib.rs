//! What a Driftless server and its devices agree on.
//!
//! - A device sends [`ClientMessage`]s and is sent [`ServerMessage`]s, one WebSocket message each.
//! - The same messages travel as MessagePack (maps with names) or as JSON: a [`Codec`] is chosen by the subprotocol.
//! - A request that the server cannot grant is answered with a [`RefusalCode`]; the socket lives on.
//! - A socket that ends says why with a [`CloseCode`], and each code tells the device what to do next.
//! - Every name is parsed once into a type that cannot hold a bad one, every bound stands in [`limits`].
//!
//! `PROTOCOL.md` beside this crate is the normative text; a test holds the two together.
//! This crate imports no other crate of the house and does no I/O.

#![warn(missing_docs)]

mod close;
mod codec;
pub mod limits;
mod message;
mod names;
mod partial;
mod push;
mod record;
mod refusal;
mod text;
mod value;

pub use close::{Advice, CloseCode};
pub use codec::{Codec, DecodeError};
pub use message::{ClientMessage, DatasetInfo, Limits, Position, ServerMessage};
pub use names::{DatasetName, DeviceId, Epoch, Key, NameError};
pub use push::{Provider, PushTarget, Registration, WebPushSubscription};
pub use record::{Change, Content, Op, Record};
pub use refusal::RefusalCode;
pub use value::{Number, Value};
