//! Stories about the gateway, told by senders of an own kind: no sender of the house is used here.

mod apns;
mod fcm;
mod frames;
mod scripts;
mod support;
mod troubles;
mod webpush;
