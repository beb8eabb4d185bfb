//! Whether a payload is what its push type says ("Generating a remote notification", "Pushing background updates to your App").

use serde_json::{Map, Value};

/// Apple takes no longer payload, in bytes.
pub(super) const MAX_PAYLOAD_BYTES: usize = 4096;

/// The push types that Apple knows ("Sending notification requests to APNs").
const PUSH_TYPES: [&str; 11] =
    ["alert", "background", "complication", "controls", "fileprovider", "liveactivity", "location", "mdm", "pushtotalk", "voip", "widgets"];

/// Apple's reason against a payload, and what is wrong in words.
pub(super) fn check(push_type: &str, body: &[u8]) -> Result<(), (&'static str, &'static str)> {
    if body.is_empty() {
        return Err(("PayloadEmpty", "there is no payload"));
    }
    let payload: Map<String, Value> = serde_json::from_slice(body).map_err(|_| ("PayloadEmpty", "the payload is no JSON object"))?;
    let aps = payload.get("aps").and_then(Value::as_object).ok_or(("PayloadEmpty", "the payload has no aps dictionary"))?;
    match push_type {
        "background" if aps.get("content-available").and_then(Value::as_u64) != Some(1) => {
            Err(("InvalidPushType", "a background push needs content-available: 1"))
        }
        "background" if ["alert", "sound", "badge"].iter().any(|shown| aps.contains_key(*shown)) => {
            Err(("InvalidPushType", "a background push has no alert, sound or badge"))
        }
        "alert" if !aps.get("alert").is_some_and(|alert| alert.is_string() || alert.is_object()) => {
            Err(("InvalidPushType", "an alert push needs an alert"))
        }
        known if PUSH_TYPES.contains(&known) => Ok(()),
        _ => Err(("InvalidPushType", "there is no such push type")),
    }
}
