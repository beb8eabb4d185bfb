//! The wire protocol between a Driftless server and its devices.
//!
//! - A device sends [`ClientMessage`]s and receives [`ServerMessage`]s, one in each WebSocket message.
//! - Messages are encoded as MessagePack (structs as maps with field names) or as JSON; the WebSocket subprotocol selects the [`Codec`].
//! - The server answers a request that it does not grant with a [`RefusalCode`]; the socket stays open.
//! - The server closes a socket with a [`CloseCode`], and each code says what the device does next.
//! - Every name is parsed once into a type that cannot hold an invalid one; every bound is a constant in [`limits`].
//!
//! `PROTOCOL.md` beside this crate is the normative text; a test compares it with this code.
//! This crate depends on no other crate of the workspace and does no I/O.

#![warn(missing_docs)]

mod checked;
mod close;
mod codec;
mod fault;
mod flag;
mod json_length;
mod json_text;
pub mod limits;
mod message;
mod named;
mod names;
mod number;
mod packed;
mod packed_value;
mod partial;
mod push;
mod record;
mod record_list;
mod refusal;
mod text;
mod value;
mod value_decoder;
mod value_writer;
mod whole_numbers;

pub use close::{Advice, CloseCode};
pub use codec::{Codec, DecodeError};
pub use message::{ClientMessage, DatasetInfo, Limits, LinkedLogin, Position, ServerMessage};
pub use names::{DatasetName, DeviceId, Epoch, Key, NameError};
pub use number::Number;
pub use packed_value::{ListItems, MapMembers, PackedValue, ValueRef};
pub use push::{Provider, PushLossReason, PushLost, PushTarget, Registration, WebPushSubscription};
pub use record::{Change, Content, Op, Record};
pub use refusal::RefusalCode;
pub use value::Value;
pub use value_writer::{ContainerStart, ValueWriter};
