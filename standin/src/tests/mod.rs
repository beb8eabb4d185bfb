//! Tests of the gateway with senders of their own: the server's senders are not used here.

mod apns;
mod faults;
mod fcm;
mod frame_injection;
mod scripted_responses;
mod support;
mod webpush;
