//! The settings of a pool's push credentials and wakes.

use super::bounds::{MAX_DURATION_S, MAX_GRACE_MS, MAX_WAKES_PER_HOUR};
use super::setting::{ConfigSetting, setting, unset, value};
use crate::push::{APNS_SANDBOX_SERVER, APNS_SERVER, FCM_SERVER, PushConfig, WakeSettings, WebpushConfig};

pub(super) const PUSH: &[ConfigSetting] = &[
    setting(
        "pools.*.push.cognito",
        || value(PushConfig::default().cognito),
        "Whether a push payload uses the keys of Cognito push sync, with source cognito-sync.",
    ),
    setting(
        "pools.*.push.name_hash_key",
        unset,
        "A secret of at least 16 bytes. If it is set, push payloads carry keyed hashes instead of the names of identities and datasets.",
    ).secret(),
    setting(
        "pools.*.push.name_hash_key_file",
        unset,
        "Instead of name_hash_key: a file that has this secret. Line ends at its end are cut.",
    ),
    setting(
        "pools.*.push.title",
        || value(PushConfig::default().title),
        "Title of the notification if a wake is shown to the user. It never contains data of a record.",
    ),
    setting("pools.*.push.text", || value(PushConfig::default().text), "Text of that notification."),
    setting("pools.*.push.apns.*.app", unset, "The APNs topic: the app's bundle id. One entry per app.").required(),
    setting("pools.*.push.apns.*.key_file", unset, "The .p8 file of a signing key from Apple. Requires key_id and team_id."),
    setting("pools.*.push.apns.*.key_id", unset, "The id of that key."),
    setting("pools.*.push.apns.*.team_id", unset, "The id of the developer team."),
    setting(
        "pools.*.push.apns.*.certificate_file",
        unset,
        "Instead of a signing key: a PEM file with a certificate for the topic and its private key.",
    ),
    setting("pools.*.push.apns.*.server", || value(APNS_SERVER), "URL of the APNs gateway."),
    setting(
        "pools.*.push.apns.*.sandbox_server",
        || value(APNS_SANDBOX_SERVER),
        "URL of the APNs sandbox gateway, for development builds of the app.",
    ),
    setting(
        "pools.*.push.apns.*.authority_file",
        unset,
        "PEM file with an additional root certificate to trust, for a gateway that you host yourself.",
    ),
    setting("pools.*.push.fcm.*.app", unset, "The app id that an Android app registers with. One entry per app.").required(),
    setting("pools.*.push.fcm.*.service_account_file", unset, "JSON file of a Google service account that is allowed to send messages.").required(),
    setting("pools.*.push.fcm.*.server", || value(FCM_SERVER), "URL of the FCM gateway."),
    setting(
        "pools.*.push.fcm.*.authority_file",
        unset,
        "PEM file with an additional root certificate to trust, for a gateway that you host yourself.",
    ),
    setting("pools.*.push.webpush.*.app", unset, "The app id that a web or UnifiedPush app registers with. One entry per app.").required(),
    setting(
        "pools.*.push.webpush.*.vapid_key_file",
        unset,
        "File with the P-256 key pair whose public key the app subscribes with (VAPID, RFC 8292): PEM, as `driftless vapid FILE` makes it, or a pair in base64url as other tools print it.",
    ).required(),
    setting(
        "pools.*.push.webpush.*.contact",
        unset,
        "Contact address of this server's operator for push services: mailto:... or https://...",
    ).required(),
    setting(
        "pools.*.push.webpush.*.authority_file",
        unset,
        "PEM file with an additional root certificate to trust, for a push service that you host yourself.",
    ),
    setting(
        "pools.*.push.webpush.*.allow_private",
        || value(WebpushConfig::default().allow_private),
        "Whether endpoints may be in private networks or on this machine. If so, anyone who can register a device can make the server send requests there.",
    ),
    setting(
        "pools.*.wakes.grace_ms",
        || value(WakeSettings::default().grace_ms),
        "Milliseconds that a device has to acknowledge a change before it is woken, at most 600000. A connected device acknowledges within 1500.",
    ).between(0, MAX_GRACE_MS),
    setting(
        "pools.*.wakes.apple_per_hour",
        || value(WakeSettings::default().apple_per_hour),
        "Silent wakes of an Apple device per hour. Apple throttles higher rates.",
    ).between(0, MAX_WAKES_PER_HOUR),
    setting("pools.*.wakes.apple_burst", || value(WakeSettings::default().apple_burst), "How many of these may be sent in a burst.").between(0, MAX_WAKES_PER_HOUR),
    setting(
        "pools.*.wakes.android_per_hour",
        || value(WakeSettings::default().android_per_hour),
        "Silent wakes of an Android device per hour.",
    ).between(0, MAX_WAKES_PER_HOUR),
    setting("pools.*.wakes.android_burst", || value(WakeSettings::default().android_burst), "How many of these may be sent in a burst.").between(0, MAX_WAKES_PER_HOUR),
    setting(
        "pools.*.wakes.web_per_hour",
        || value(WakeSettings::default().web_per_hour),
        "Wakes of a browser or UnifiedPush app per hour.",
    ).between(0, MAX_WAKES_PER_HOUR),
    setting("pools.*.wakes.web_burst", || value(WakeSettings::default().web_burst), "How many of these may be sent in a burst.").between(0, MAX_WAKES_PER_HOUR),
    setting(
        "pools.*.wakes.shown_per_hour",
        || value(WakeSettings::default().shown_per_hour),
        "Wakes per hour that are shown to the user once the silent ones are used up, for apps that allow it. 0: none.",
    ).between(0, MAX_WAKES_PER_HOUR),
    setting(
        "pools.*.wakes.stale_s",
        || value(WakeSettings::default().stale_s),
        "Seconds since a device was last seen after which it is no longer woken.",
    ).between(0, MAX_DURATION_S),
    setting(
        "pools.*.wakes.drop_s",
        || value(WakeSettings::default().drop_s),
        "Seconds since a device was last seen after which its push registration is deleted.",
    ).between(0, MAX_DURATION_S),
    setting(
        "pools.*.wakes.debt_s",
        || value(WakeSettings::default().debt_s),
        "Seconds after which an unacknowledged change no longer wakes any device.",
    ).between(0, MAX_DURATION_S),
];
