//! The context keys that every request has. Source: "AWS global condition context keys" in the IAM User Guide.

use http::HeaderMap;
use http::header::{REFERER, USER_AGENT};
use http::request::Parts;

use super::timestamp;
use crate::access::RequestContext;
use crate::limits::ClientAddress;

/// The longest text of a header that becomes a context key, in bytes: what is longer costs each comparison with a policy as much.
const MAX_HEADER_BYTES: usize = 1024;

/// The keys of a request at this time, in milliseconds since 1970 (UTC).
pub(super) fn of(parts: &Parts, now_ms: u64) -> RequestContext {
    let mut context = RequestContext::default();
    context.set("aws:CurrentTime", timestamp::extended(i64::try_from(now_ms / 1000).unwrap_or(i64::MAX)));
    context.set("aws:EpochTime", (now_ms / 1000).to_string());
    if let Some(client) = parts.extensions.get::<ClientAddress>() {
        context.set("aws:SourceIp", client.address().to_string());
    }
    for (key, name) in [("aws:UserAgent", USER_AGENT), ("aws:Referer", REFERER)] {
        if let Some(text) = header(&parts.headers, &name) {
            context.set(key, text);
        }
    }
    context
}

fn header(headers: &HeaderMap, name: &http::HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= MAX_HEADER_BYTES).then(|| text.to_owned())
}
