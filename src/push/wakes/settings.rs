//! How a pool's devices are woken, and how many wakes a device's token buckets allow.

use driftless_protocol::Provider;
use serde::Deserialize;

use crate::store::{Debt, TokenBucket};

pub(super) const HOUR_MS: u64 = 3600 * 1000;

/// One wake in the unit of [`TokenBucket::missing_micro`].
pub(super) const MICROS_PER_WAKE: u64 = 1_000_000;

/// A pool's settings for wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WakeSettings {
    /// How long a device has to acknowledge a write before it is woken, in milliseconds.
    pub grace_ms: u64,
    /// Silent wakes of an Apple device in an hour.
    pub apple_per_hour: u64,
    /// How many of them may be sent at once.
    pub apple_burst: u64,
    /// Wakes of normal priority of an Android device in an hour.
    pub android_per_hour: u64,
    /// How many of them may be sent at once.
    pub android_burst: u64,
    /// Wakes of a browser or a UnifiedPush app in an hour.
    pub web_per_hour: u64,
    /// How many of them may be sent at once.
    pub web_burst: u64,
    /// Wakes that are shown to the user in an hour, sent when the budget for silent ones is used up; 0: none.
    pub shown_per_hour: u64,
    /// A device that was not seen for this long is not woken, in seconds.
    pub stale_s: u64,
    /// The registration of a device that was not seen for this long is dropped, in seconds.
    pub drop_s: u64,
    /// A debt expires after this long, in seconds.
    pub debt_s: u64,
}

impl Default for WakeSettings {
    /// Apple: "don't try to send more than two or three per hour" (Pushing background updates to your App). Google delays messages of normal
    /// priority, and expires tokens after 270 days.
    fn default() -> WakeSettings {
        const DAY_S: u64 = 24 * 3600;
        WakeSettings {
            grace_ms: 3_000,
            apple_per_hour: 3,
            apple_burst: 1,
            android_per_hour: 3,
            android_burst: 1,
            web_per_hour: 12,
            web_burst: 2,
            shown_per_hour: 1,
            stale_s: 30 * DAY_S,
            drop_s: 270 * DAY_S,
            debt_s: 7 * DAY_S,
        }
    }
}

impl WakeSettings {
    pub(super) fn silent_limits(&self, provider: Provider) -> BucketLimits {
        let (per_hour, burst) = match provider {
            Provider::Apns | Provider::ApnsSandbox => (self.apple_per_hour, self.apple_burst),
            Provider::Fcm => (self.android_per_hour, self.android_burst),
            Provider::Webpush => (self.web_per_hour, self.web_burst),
        };
        BucketLimits { per_hour, burst }
    }

    pub(super) fn shown_limits(&self) -> BucketLimits {
        BucketLimits { per_hour: self.shown_per_hour, burst: 1 }
    }

    /// Whether a debt's grace is over. A round that ends before that does not mark the debt as seen.
    pub(in crate::push) fn is_past_grace(&self, debt: &Debt, now_ms: u64) -> bool {
        debt.first_ms == 0 || now_ms >= debt.first_ms.saturating_add(self.grace_ms)
    }
}

/// How fast a token bucket refills, and how much it holds.
#[derive(Clone, Copy)]
pub(super) struct BucketLimits {
    pub(super) per_hour: u64,
    pub(super) burst: u64,
}

impl BucketLimits {
    fn missing_micro(self, bucket: TokenBucket, now_ms: u64) -> u64 {
        // After the clock was set back, a bucket with a later date counts as full.
        if bucket.at_ms > now_ms {
            return 0;
        }
        let elapsed_ms = now_ms.saturating_sub(bucket.at_ms);
        bucket.missing_micro.saturating_sub(elapsed_ms.saturating_mul(self.per_hour).saturating_mul(MICROS_PER_WAKE) / HOUR_MS)
    }

    /// When the bucket has a wake to spend, in milliseconds since 1970 (UTC); `None`: never.
    pub(super) fn next_wake_ms(self, bucket: TokenBucket, now_ms: u64) -> Option<u64> {
        if self.per_hour == 0 || self.burst == 0 {
            return None;
        }
        let over_micro = self.missing_micro(bucket, now_ms).saturating_sub((self.burst - 1) * MICROS_PER_WAKE);
        Some(now_ms + (over_micro.saturating_mul(HOUR_MS)).div_ceil(self.per_hour * MICROS_PER_WAKE))
    }

    /// The bucket after one wake was spent.
    pub(super) fn spend(self, bucket: TokenBucket, now_ms: u64) -> TokenBucket {
        let missing_micro = (self.missing_micro(bucket, now_ms) + MICROS_PER_WAKE).min(self.burst * MICROS_PER_WAKE);
        TokenBucket { missing_micro, at_ms: now_ms }
    }
}
