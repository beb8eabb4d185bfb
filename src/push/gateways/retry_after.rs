//! How long a gateway asks us to wait: the header `Retry-After` (RFC 9110 section 10.2.3), in seconds or as a date.

use http::HeaderMap;
use http::header::RETRY_AFTER;

/// The longest wish that is granted, in milliseconds: a day. A mistake in the header must not silence an app for good.
const MOST_MS: u64 = 24 * 60 * 60 * 1000;

/// How long to wait after a 429 that does not say, in milliseconds: Google asks for at least a minute ("Scale FCM: handle retries").
pub(super) const TOO_MANY_MS: u64 = 60_000;

/// The wish in these headers, in milliseconds from now. A date that has passed is a wish of nothing.
pub(super) fn retry_after_ms(headers: &HeaderMap, now_ms: u64) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let after_ms = match text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        // More digits than a number has are still a long time.
        true => text.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1000),
        false => imf_fixdate_ms(text)?.saturating_sub(now_ms),
    };
    Some(after_ms.min(MOST_MS))
}

/// The wish after a 429: [`TOO_MANY_MS`] at least.
pub(super) fn too_many_ms(headers: &HeaderMap, now_ms: u64) -> u64 {
    retry_after_ms(headers, now_ms).unwrap_or_default().max(TOO_MANY_MS)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` in Unix milliseconds (RFC 9110 section 5.6.7). The two obsolete forms are not read: no push service sends them.
fn imf_fixdate_ms(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, date) = text.split_once(", ")?;
    let mut parts = date.split(' ');
    let day = number(parts.next()?, 1, 31)?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|one| *one == month)? as u64 + 1;
    let year = number(parts.next()?, 1970, 9999)?;
    let mut time = parts.next()?.split(':');
    let hour = number(time.next()?, 0, 23)?;
    let minute = number(time.next()?, 0, 59)?;
    // 60: a leap second.
    let second = number(time.next()?, 0, 60)?;
    (parts.next() == Some("GMT") && parts.next().is_none() && time.next().is_none()).then_some(())?;
    Some((((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

fn number(text: &str, least: u64, most: u64) -> Option<u64> {
    text.parse().ok().filter(|number| (least..=most).contains(number))
}

/// Days from 1970 to this one. Years are counted from March, so that a leap day is a year's last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW_MS: u64 = 784_111_777_000;

    fn wish(text: &str) -> Option<u64> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a header"))]);
        retry_after_ms(&headers, NOW_MS)
    }

    #[test]
    fn seconds_and_dates_are_read() {
        assert_eq!(wish("0"), Some(0));
        assert_eq!(wish(" 120 "), Some(120_000));
        assert_eq!(wish("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60_000));
        assert_eq!(wish("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(wish("Sat, 01 Jan 1994 00:00:00 GMT"), Some(0));
        assert_eq!(imf_fixdate_ms("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(imf_fixdate_ms("Tue, 29 Feb 2028 12:00:00 GMT"), Some(1_835_438_400_000));
        assert_eq!(imf_fixdate_ms("Fri, 31 Dec 9999 23:59:59 GMT"), Some(253_402_300_799_000));
    }

    #[test]
    fn nonsense_is_no_wish_and_no_wish_is_longer_than_a_day() {
        for text in [
            "",
            "soon",
            "-1",
            "1.5",
            "Sun, 06 Nov 1994",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sunday, 06-Nov-94 08:49:37 GMT",
        ] {
            assert_eq!(wish(text), None, "{text}");
        }
        assert_eq!(wish("99999999999999999999999999"), Some(MOST_MS));
        assert_eq!(wish("Fri, 31 Dec 9999 23:59:59 GMT"), Some(MOST_MS));
        assert_eq!(retry_after_ms(&HeaderMap::new(), NOW_MS), None);
        assert_eq!(too_many_ms(&HeaderMap::new(), NOW_MS), 60_000);
    }
}
