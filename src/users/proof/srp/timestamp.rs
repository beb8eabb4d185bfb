//! The time that a client signs with its proof.

use time::{Date, Month, PrimitiveDateTime, Time};

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The bytes of the longest timestamp.
const MAX_BYTES: usize = "Mon Nov 13 08:38:46 UTC 2025".len();

/// A time such as `Mon Nov 3 08:38:46 UTC 2025`: English names, UTC, and a day of one digit is one digit. Amazon Cognito refuses another form,
/// and a weekday that is not that day's, with the words for a wrong password.
///
/// It is the time of the client's clock, and clocks are wrong. How fresh an answer is, the sealed SECRET_BLOCK says by its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SrpTimestamp {
    /// Seconds since 1970 (UTC).
    pub unix_s: i64,
}

impl SrpTimestamp {
    /// `None` of another form.
    pub fn parse(text: &str) -> Option<SrpTimestamp> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let mut words = text.split(' ');
        let mut next = || words.next();
        let (weekday, month, day, clock, zone, year) = (next()?, next()?, next()?, next()?, next()?, next()?);
        if next().is_some() || zone != "UTC" || day.starts_with('0') || year.len() != 4 {
            return None;
        }
        let month = MONTHS.iter().position(|one| *one == month)?;
        let month = Month::try_from(u8::try_from(month + 1).ok()?).ok()?;
        let date = Date::from_calendar_date(i32::try_from(number(year)?).ok()?, month, u8::try_from(number(day)?).ok()?).ok()?;
        if WEEKDAYS.get(usize::from(date.weekday().number_days_from_monday())) != Some(&weekday) {
            return None;
        }
        let mut parts = clock.split(':').map(|part| if part.len() == 2 { u8::try_from(number(part)?).ok() } else { None });
        let time = Time::from_hms(parts.next()??, parts.next()??, parts.next()??).ok()?;
        if parts.next().is_some() {
            return None;
        }
        Some(SrpTimestamp { unix_s: PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp() })
    }
}

/// The number of a text of digits: no sign, no space.
fn number(text: &str) -> Option<u32> {
    if text.bytes().all(|digit| digit.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_has_the_form_of_amazons_clients() {
        let cases = [
            ("Mon Nov 3 08:38:46 UTC 2025", 1_762_159_126),
            ("Thu Feb 29 23:59:59 UTC 2024", 1_709_251_199),
            ("Thu Jan 1 00:00:00 UTC 1970", 0),
            ("Mon Nov 30 23:05:00 UTC 2026", 1_796_079_900),
        ];
        for (text, unix_s) in cases {
            assert_eq!(SrpTimestamp::parse(text), Some(SrpTimestamp { unix_s }), "{text}");
        }
    }

    #[test]
    fn another_form_is_no_timestamp() {
        let long = "Mon Nov 3 08:38:46 UTC 2025 ".repeat(40_000);
        for text in [
            "",
            "Mon Nov 03 08:38:46 UTC 2025",
            "Tue Nov 3 08:38:46 UTC 2025",
            "mon Nov 3 08:38:46 UTC 2025",
            "Mo Nov 3 08:38:46 UTC 2025",
            "Mon Nov 3 8:38:46 UTC 2025",
            "Mon Nov 3 08:38:60 UTC 2025",
            "Mon Nov 3 24:00:00 UTC 2025",
            "Mon Nov 3 08:38:46 GMT 2025",
            "Mon Nov 3 08:38:46 CET 2025",
            "Mon Nov 3 08:38:46 UTC 25",
            "Mon Nov  3 08:38:46 UTC 2025",
            "Mon Nov 3 08:38:46 UTC 2025 ",
            "Mon Nov 3 08:38:46:00 UTC 2025",
            "Mon Nov 3 08:38 UTC 2025",
            "Mon Nov +3 08:38:46 UTC 2025",
            "Sun Feb 29 08:38:46 UTC 2026",
            "Mon, 3 Nov 2025 08:38:46 GMT",
            "2025-11-03T08:38:46Z",
            "Lun Nov 3 08:38:46 UTC 2025",
            &long,
        ] {
            assert_eq!(SrpTimestamp::parse(text), None, "{text:.40}");
        }
    }
}
