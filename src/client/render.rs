//! Formats records as lines. Control characters in keys and values are escaped before they reach the terminal.

use std::fmt::Write;

use driftless_protocol::{Content, Record};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    /// With the escape sequence SGR (ECMA-48 §8.3.117).
    Colour,
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";

impl Style {
    fn paint(self, colour: &str, text: &str) -> String {
        match self {
            Style::Plain => text.to_owned(),
            Style::Colour => format!("\x1b[{colour}m{text}\x1b[0m"),
        }
    }
}

/// A record with the version, device and age of its last write. `now_ms` is the time in milliseconds since 1970 (UTC).
pub(super) fn line(record: &Record, now_ms: u64, style: Style) -> String {
    let key = style.paint(BOLD, &printable(record.key.as_str()));
    let content = match &record.content {
        Content::Value(value) => format!("{key} = {}", printable(&value.to_string())),
        Content::Removed => format!("{key} {}", style.paint(RED, "removed")),
    };
    let age = age(now_ms.saturating_sub(record.modified_ms));
    let origin = format!("version {}   from {}   {age}", record.version, record.device);
    format!("{content}   {}", style.paint(DIM, &origin))
}

/// A record and its version.
pub(super) fn brief(record: &Record) -> String {
    let key = printable(record.key.as_str());
    match &record.content {
        Content::Value(value) => format!("{key} = {}   version {}", printable(&value.to_string()), record.version),
        Content::Removed => format!("{key} removed   version {}", record.version),
    }
}

/// Escapes control characters as JSON does.
pub fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        if c.is_control() {
            // Writing to a string cannot fail.
            let _ = write!(line, "\\u{:04x}", u32::from(c));
        } else {
            line.push(c);
        }
        line
    })
}

/// `"1 record"` or `"2 records"`.
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// A duration in a readable unit.
fn age(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{} s ago", ms / 1_000, ms % 1_000 / 100),
        10_000..60_000 => format!("{} s ago", ms / 1_000),
        60_000..3_600_000 => format!("{} min ago", ms / 60_000),
        3_600_000..172_800_000 => format!("{} h ago", ms / 3_600_000),
        _ => format!("{} days ago", ms / 86_400_000),
    }
}

#[cfg(test)]
mod tests {
    use driftless_protocol::{DeviceId, Key};

    use super::*;

    fn record(key: &str, content: Content) -> Record {
        let device = DeviceId::new("phone").expect("a device");
        Record { key: Key::new(key).expect("a key"), content, version: 12, modified_ms: 1_000, device }
    }

    #[test]
    fn a_change_is_one_line() {
        let dark = record("theme", Content::Value("dark".into()));
        assert_eq!(line(&dark, 1_400, Style::Plain), "theme = \"dark\"   version 12   from phone   0.4 s ago");
        assert_eq!(line(&dark, 0, Style::Plain), "theme = \"dark\"   version 12   from phone   0.0 s ago", "clocks differ");
        let gone = record("theme", Content::Removed);
        assert_eq!(line(&gone, 91_000, Style::Plain), "theme removed   version 12   from phone   1 min ago");
        assert_eq!(line(&gone, 91_000, Style::Colour).matches("\x1b[").count(), 6);
    }

    #[test]
    fn control_characters_of_a_record_are_escaped() {
        let evil = record("a\x1b[2Jb", Content::Value("x\u{9b}31m\ny".into()));
        assert_eq!(brief(&evil), "a\\u001b[2Jb = \"x\\u009b31m\\ny\"   version 12");
    }

    #[test]
    fn ages_are_in_readable_units() {
        let ages = [12_000, 3_599_999, 7_200_000, 172_800_000].map(age);
        assert_eq!(ages, ["12 s ago", "59 min ago", "2 h ago", "2 days ago"]);
    }
}
