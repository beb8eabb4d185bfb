//! What the gateway says to a push, when a script says it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::fcm_error::FcmCode;
use super::reply;

/// An HTTP answer: its status, its headers and its body.
pub type Reply = http::Response<Bytes>;

/// One answer of a script. A push that is not in order is refused before any script is asked.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The push is accepted.
    Accept,
    /// This, as it is; the push is not accepted.
    Reply(Reply),
    /// The other answer, so much later.
    After(Duration, Box<Answer>),
    /// The other answer, to every push from now on.
    Always(Box<Answer>),
    /// Nothing: the push is not accepted, and nobody says so.
    Hang,
    /// Nothing, though the push was accepted: the answer was lost on its way.
    Lost,
    /// The stream is reset with `INTERNAL_ERROR`; over HTTP/1.1 the connection ends.
    Reset,
    /// The stream is reset with `REFUSED_STREAM`: nothing was processed (RFC 9113 section 8.7). Over HTTP/1.1 the connection ends.
    Refused,
    /// The connection ends without a word.
    Cut,
}

impl Answer {
    /// Apple's refusal ("Handling notification responses from APNs").
    pub fn apns(status: u16, reason: &str) -> Answer {
        Answer::Reply(reply::json(status, &json!({ "reason": reason })))
    }

    /// Apple's 410: the token was not valid for the app any more at this time, in Unix milliseconds.
    pub fn unregistered(timestamp_ms: u64) -> Answer {
        Answer::Reply(reply::json(410, &json!({ "reason": "Unregistered", "timestamp": timestamp_ms })))
    }

    /// Google's refusal, with the status that belongs to the code.
    pub fn fcm(code: FcmCode) -> Answer {
        Answer::Reply(code.reply("a script says so"))
    }

    /// A status without a body, as push services of browsers answer.
    pub fn status(status: u16) -> Answer {
        Answer::Reply(reply::empty(status))
    }

    /// A status, and when to try again (RFC 9110 section 10.2.3).
    pub fn retry_after(status: u16, seconds: u32) -> Answer {
        let mut reply = reply::empty(status);
        reply.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
        Answer::Reply(reply)
    }

    /// A status with a body that is no JSON and no text.
    pub fn garbage(status: u16) -> Answer {
        Answer::Reply(reply::with(status, "text/html", Bytes::from_static(b"<html>\xff\xfe\0{\"reason\":")))
    }

    /// The same, so much later.
    pub fn after(self, latency: Duration) -> Answer {
        Answer::After(latency, Box::new(self))
    }

    /// The same, to every push from now on.
    pub fn always(self) -> Answer {
        Answer::Always(Box::new(self))
    }
}
