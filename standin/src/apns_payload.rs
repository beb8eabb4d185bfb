//! Checks a payload against its push type ("Generating a remote notification", "Pushing background updates to your App").

use serde_json::{Map, Value};

/// Apple's limit.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 4096;

/// Apple's push types ("Sending notification requests to APNs").
const PUSH_TYPES: [&str; 11] =
    ["alert", "background", "complication", "controls", "fileprovider", "liveactivity", "location", "mdm", "pushtotalk", "voip", "widgets"];

/// The error is Apple's reason, and what is wrong in words.
pub(crate) fn check(push_type: &str, body: &[u8]) -> Result<(), (&'static str, &'static str)> {
    if body.is_empty() {
        return Err(("PayloadEmpty", "the payload is empty"));
    }
    let payload: Map<String, Value> = serde_json::from_slice(body).map_err(|_| ("PayloadEmpty", "the payload is not a JSON object"))?;
    let aps = payload.get("aps").and_then(Value::as_object).ok_or(("PayloadEmpty", "the payload has no aps dictionary"))?;
    match push_type {
        "background" if aps.get("content-available").and_then(Value::as_u64) != Some(1) => {
            Err(("InvalidPushType", "a background push must have content-available: 1"))
        }
        "background" if ["alert", "sound", "badge"].iter().any(|shown| aps.contains_key(*shown)) => {
            Err(("InvalidPushType", "a background push must not have an alert, sound or badge"))
        }
        "alert" if !aps.get("alert").is_some_and(|alert| alert.is_string() || alert.is_object()) => {
            Err(("InvalidPushType", "an alert push must have an alert"))
        }
        known if PUSH_TYPES.contains(&known) => Ok(()),
        _ => Err(("InvalidPushType", "unknown push type")),
    }
}
