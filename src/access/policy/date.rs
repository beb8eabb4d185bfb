//! Dates of conditions: the forms of "Date and Time Formats" (W3C, a profile of ISO 8601), and seconds since 1970.

/// Digits of the seconds since 1970 that are read; more than that is no date.
const EPOCH_DIGITS: usize = 12;

/// Nanoseconds since 1970 (UTC) of a date; `None` if the text is none. A year has four digits, so four digits alone are a year; other digits are seconds.
pub(super) fn parse_date(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && (digits.len() != 4 || text.len() != 4) {
        return if digits.len() <= EPOCH_DIGITS { Some(text.parse::<i128>().ok()? * 1_000_000_000) } else { None };
    }
    let (date, time) = match text.split_once(['T', 't']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4)?;
    let month = parts.next().map_or(Some(1), |part| number(part, 2))?;
    let day = parts.next().map_or(Some(1), |part| number(part, 2))?;
    // A time needs a whole date before it.
    if parts.next().is_some() || (time.is_some() && date.len() != 10) {
        return None;
    }
    if !(1..=12).contains(&month) || day < 1 || day > days_of_month(year, month) {
        return None;
    }
    let of_day = time.map_or(Some(0), nanoseconds_of_day)?;
    Some(i128::from(days_since_1970(year, month, day)) * 86_400_000_000_000 + of_day)
}

/// `hh:mm`, optionally `:ss` and a fraction, and the zone: `Z` or `+hh:mm`.
fn nanoseconds_of_day(text: &str) -> Option<i128> {
    let at = text.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = text.split_at(at);
    let mut parts = time.split(':');
    let hours = number(parts.next()?, 2)?;
    let minutes = number(parts.next()?, 2)?;
    let (seconds, fraction) = match parts.next() {
        Some(seconds) => {
            seconds.split_once('.').map_or(Some((seconds, 0)), |(seconds, fraction)| Some((seconds, nanoseconds(fraction)?)))?
        }
        None => ("00", 0),
    };
    let seconds = number(seconds, 2)?;
    // 60 is a leap second, which counts as the second after it.
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let local = i128::from(hours * 3_600 + minutes * 60 + seconds) - i128::from(zone_seconds(zone)?);
    Some(local * 1_000_000_000 + fraction)
}

/// A fraction of a second, of up to nine digits.
fn nanoseconds(digits: &str) -> Option<i128> {
    let value = number(digits, digits.len()).filter(|_| (1..=9).contains(&digits.len()))?;
    Some(i128::from(value) * 10_i128.pow(9 - digits.len() as u32))
}

fn zone_seconds(zone: &str) -> Option<i64> {
    let (sign, offset) = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => return Some(0),
        ("+", offset) => (1, offset),
        ("-", offset) => (-1, offset),
        _ => return None,
    };
    let (hours, minutes) = offset.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn is_leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1 January 1970 to a date of the Gregorian calendar, of the years 0 to 9999.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // The last leap day that matters to a date is that of its own year, and only from March on.
    let years_before = year - 1;
    let leap_days = years_before.div_euclid(4) - years_before.div_euclid(100) + years_before.div_euclid(400);
    let days_before_month: i64 = (1..month).map(|month| days_of_month(year, month)).sum();
    // 719,162 days lie between 1 January of the year 1 and 1 January 1970.
    years_before * 365 + leap_days + days_before_month + day - 1 - 719_162
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<i128> {
        parse_date(text).map(|nanoseconds| nanoseconds / 1_000_000_000)
    }

    #[test]
    fn dates_are_read_in_every_form() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2013-06-30T00:00:00Z", 1_372_550_400),
            ("2013-06-30", 1_372_550_400),
            ("2013-06", 1_370_044_800),
            ("2013", 1_356_998_400),
            ("2000-02-29T12:30Z", 951_827_400),
            ("2026-11-30T23:15:00+01:00", 1_796_076_900),
            ("1969-12-31T23:59:59Z", -1),
            ("1372550400", 1_372_550_400),
            ("-1", -1),
            ("0", 0),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        assert_eq!(parse_date("1970-01-01T00:00:00.25Z"), Some(250_000_000));
        assert!(parse_date("2026-11-30T00:00:00.9Z") < parse_date("2026-11-30T00:00:01Z"));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for wrong in [
            "",
            "-",
            "2013-13-01",
            "2013-00-01",
            "2013-02-29",
            "1900-02-29",
            "2013-6-1",
            "2013-06-30T24:00Z",
            "2013-06-30T00:60Z",
            "2013-06-30T00:00:00",
            "2013-06T00:00Z",
            "2013-06-30T00:00:00.Z",
            "2013-06-30T00:00:00.1234567890Z",
            "2013-06-30T00:00:00+25:00",
            "2013-06-30 00:00:00Z",
            "9999999999999",
            "tomorrow",
            "2013-06-30T00:00:00Zé",
        ] {
            assert_eq!(parse_date(wrong), None, "{wrong}");
        }
    }
}
