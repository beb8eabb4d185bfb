//! The three ways in which AWS's wire writes a moment: basic ISO 8601 in signatures, extended ISO 8601 in XML, seconds in JSON.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{Date, Month, OffsetDateTime};

/// The last moment of the year 9999: no date of the wire is later.
const MAX_MS: u64 = 253_402_300_799_999;

/// Reads `20150830T123600Z`, the form of `X-Amz-Date`; the result is in seconds since 1970.
pub fn parse_basic(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = &bytes[from..to];
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0u16, |sum, digit| sum * 10 + u16::from(digit - b'0')))
    };
    let small = |from: usize| number(from, from + 2).and_then(|number| u8::try_from(number).ok());
    let date = Date::from_calendar_date(i32::from(number(0, 4)?), Month::try_from(small(4)?).ok()?, small(6)?).ok()?;
    let moment = date.with_hms(small(9)?, small(11)?, small(13)?).ok()?;
    Some(moment.assume_utc().unix_timestamp())
}

/// Writes seconds since 1970 as `20150830T123600Z`. A moment outside of the years 0 to 9999 is written as the first of 1970.
pub fn basic(unix_s: i64) -> String {
    let at = moment(unix_s);
    let (date, time) = (at.date(), at.time());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", time.hour(), time.minute(), time.second())
}

/// Writes seconds since 1970 as `2015-08-30T12:36:00Z`, for the answers of sts, iam and sns.
pub fn extended(unix_s: i64) -> String {
    let at = moment(unix_s);
    let (date, time) = (at.date(), at.time());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", time.hour(), time.minute(), time.second())
}

fn moment(unix_s: i64) -> OffsetDateTime {
    let moment = OffsetDateTime::from_unix_timestamp(unix_s).ok();
    moment.filter(|at| (0..=9999).contains(&at.year())).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A date in a JSON body: seconds since 1970 as a number, with milliseconds as its fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpochSeconds {
    ms: u64,
}

impl EpochSeconds {
    /// From milliseconds since 1970; a date after the year 9999 becomes its last moment.
    pub fn from_ms(ms: u64) -> EpochSeconds {
        EpochSeconds { ms: ms.min(MAX_MS) }
    }

    /// Milliseconds since 1970, at most those of the year 9999.
    pub fn ms(self) -> u64 {
        self.ms
    }
}

impl Serialize for EpochSeconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Exact to the millisecond: the nearest double of a number of 15 digits has the same 15 digits.
        serializer.serialize_f64(self.ms as f64 / 1000.0)
    }
}

impl<'de> Deserialize<'de> for EpochSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EpochSeconds, D::Error> {
        deserializer.deserialize_f64(SecondsVisitor)
    }
}

struct SecondsVisitor;

impl Visitor<'_> for SecondsVisitor {
    type Value = EpochSeconds;

    fn expecting(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        text.write_str("seconds since 1970")
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<EpochSeconds, E> {
        let ms = (seconds * 1000.0).round();
        if !(0.0..=MAX_MS as f64).contains(&ms) {
            return Err(E::custom("the date is not between 1970 and 9999"));
        }
        Ok(EpochSeconds { ms: ms as u64 })
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<EpochSeconds, E> {
        self.visit_f64(seconds as f64)
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<EpochSeconds, E> {
        self.visit_f64(seconds as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_basic_form_is_read_strictly() {
        assert_eq!(parse_basic("20150830T123600Z"), Some(1_440_938_160));
        assert_eq!(basic(1_440_938_160), "20150830T123600Z");
        assert_eq!(extended(1_440_938_160), "2015-08-30T12:36:00Z");
        assert_eq!(parse_basic("20160229T000000Z").map(basic).as_deref(), Some("20160229T000000Z"));
        let wrong = [
            "",
            "20150830T123600",
            "20150830T123600z",
            "20150830 123600Z",
            "20150229T000000Z",
            "20151330T000000Z",
            "20150800T000000Z",
            "20150830T240000Z",
            "20150830T126000Z",
            "20150830T123660Z",
            "2015083-T123600Z",
            "+0150830T123600Z",
            "2015-08-30T12:36:00Z",
            "\u{e9}015083T123600Z",
        ];
        for text in wrong {
            assert_eq!(parse_basic(text), None, "{text}");
        }
        assert_eq!(basic(i64::MAX), "19700101T000000Z");
    }

    #[test]
    fn dates_in_json_are_seconds_with_milliseconds() {
        let read = |text: &str| serde_json::from_str::<EpochSeconds>(text).map(EpochSeconds::ms).ok();
        assert_eq!(read("1704164645.678"), Some(1_704_164_645_678));
        assert_eq!(read("1.412974057244E9"), Some(1_412_974_057_244));
        assert_eq!((read("0"), read("1704164645")), (Some(0), Some(1_704_164_645_000)));
        for wrong in ["-1", "-0.001", "1e300", "253402300800", "\"1\"", "null", "true", "[1]"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let mut random = fastrand::Rng::with_seed(1);
        for ms in [0, 1, 999, 1000, MAX_MS].into_iter().chain(std::iter::repeat_with(|| random.u64(0..=MAX_MS)).take(10_000)) {
            let text = serde_json::to_string(&EpochSeconds::from_ms(ms)).unwrap();
            assert_eq!(read(&text), Some(ms), "{text}");
        }
        assert_eq!(serde_json::to_string(&EpochSeconds::from_ms(1_704_164_645_678)).unwrap(), "1704164645.678");
        assert_eq!(EpochSeconds::from_ms(u64::MAX).ms(), MAX_MS);
    }
}
