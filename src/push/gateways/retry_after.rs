//! The header `Retry-After` (RFC 9110 section 10.2.3): how long a gateway asks the sender to wait, in seconds or as a date.

use std::time::UNIX_EPOCH;

use http::HeaderMap;
use http::header::RETRY_AFTER;

/// The shortest wait after a 429, in milliseconds: Google asks for at least a minute ("Scale FCM: handle retries").
pub(super) const TOO_MANY_REQUESTS_MS: u64 = 60_000;

/// The wait in these headers, in milliseconds from now; the caller bounds it. A date in the past is no wait.
pub(super) fn retry_after_ms(headers: &HeaderMap, now_ms: u64) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    Some(match text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        // A number that does not fit is a long time.
        true => text.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1000),
        false => http_date_ms(text)?.saturating_sub(now_ms),
    })
}

/// The wait after a 429: at least [`TOO_MANY_REQUESTS_MS`].
pub(super) fn too_many_requests_ms(headers: &HeaderMap, now_ms: u64) -> u64 {
    retry_after_ms(headers, now_ms).unwrap_or_default().max(TOO_MANY_REQUESTS_MS)
}

/// A date of RFC 9110 section 5.6.7 as Unix milliseconds.
fn http_date_ms(text: &str) -> Option<u64> {
    let since_1970 = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since_1970.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW_MS: u64 = 784_111_777_000;

    fn after_ms(text: &str) -> Option<u64> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a header"))]);
        retry_after_ms(&headers, NOW_MS)
    }

    #[test]
    fn seconds_and_dates_are_parsed() {
        assert_eq!(after_ms("0"), Some(0));
        assert_eq!(after_ms(" 120 "), Some(120_000));
        assert_eq!(after_ms("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60_000));
        assert_eq!(after_ms("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(after_ms("Sunday, 06-Nov-94 08:50:37 GMT"), Some(60_000), "an obsolete form");
        assert_eq!(after_ms("Sat, 01 Jan 1994 00:00:00 GMT"), Some(0));
        assert_eq!(http_date_ms("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date_ms("Tue, 29 Feb 2028 12:00:00 GMT"), Some(1_835_438_400_000));
        assert_eq!(http_date_ms("Fri, 31 Dec 9999 23:59:59 GMT"), Some(253_402_300_799_000));
    }

    #[test]
    fn an_invalid_header_is_ignored_and_no_number_overflows() {
        for text in ["", "soon", "-1", "1.5", "Sun, 06 Nov 1994", "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET"] {
            assert_eq!(after_ms(text), None, "{text}");
        }
        assert_eq!(after_ms("99999999999999999999999999"), Some(u64::MAX));
        assert_eq!(after_ms("18446744073709551615"), Some(u64::MAX));
        assert_eq!(after_ms("Fri, 31 Dec 9999 23:59:59 GMT"), Some(253_402_300_799_000 - NOW_MS));
        assert_eq!(retry_after_ms(&HeaderMap::new(), NOW_MS), None);
        assert_eq!(too_many_requests_ms(&HeaderMap::new(), NOW_MS), 60_000);
    }
}
