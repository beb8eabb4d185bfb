//! Prints results to stdout: lines, tables, times, sizes.

use std::io::{self, ErrorKind, Write};

use time::OffsetDateTime;

use super::error::OperatorError;
use crate::client::printable;

/// How a command prints its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultFormat {
    /// Lines and tables for people.
    Text,
    /// One JSON document.
    Json,
}

impl ResultFormat {
    /// The format that the flag `--json` asks for.
    pub fn of(json: bool) -> ResultFormat {
        if json { ResultFormat::Json } else { ResultFormat::Text }
    }
}

const MIB: u64 = 1024 * 1024;

/// Prints a line of the result.
pub(super) fn line(line: &str) -> Result<(), OperatorError> {
    text(format!("{line}\n").as_bytes())
}

/// Prints bytes of the result unchanged.
pub(super) fn text(text: &[u8]) -> Result<(), OperatorError> {
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush()).map_err(|why| match why.kind() {
        ErrorKind::BrokenPipe => OperatorError::OutputClosed,
        _ => OperatorError::File(format!("cannot write to stdout: {why}")),
    })
}

/// Aligns cells in columns; the first row is the heading. The last column is not padded.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| printable(cell))).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(|at| if at + 1 < N { width(at) } else { 0 }).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Milliseconds since 1970 as `2026-01-31 23:59:59`, in UTC; after the year 9999 as a number.
pub(super) fn utc(ms: u64) -> String {
    let Ok(at) = OffsetDateTime::from_unix_timestamp((ms / 1000) as i64) else { return format!("{ms} ms") };
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())
}

/// A number of bytes in a readable unit.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..MIB => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / MIB as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_calendar_dates() {
        for (s, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (951_868_800, "2000-03-01 00:00:00"),
            (1_735_689_599, "2024-12-31 23:59:59"),
            (4_107_542_399, "2100-02-28 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (253_402_300_799, "9999-12-31 23:59:59"),
        ] {
            assert_eq!(utc(s * 1000 + 999), text);
        }
    }

    #[test]
    fn columns_are_aligned_and_control_characters_escaped() {
        let rows = [["version", "keys"].map(str::to_owned), ["7", "a\x1b[2J"].map(str::to_owned)];
        assert_eq!(table(&rows), "version  keys\n7        a\\u001b[2J");
        assert_eq!([size(7), size(1536), size(3 * MIB)], ["7 bytes", "1.5 KiB", "3.0 MiB"]);
    }
}
