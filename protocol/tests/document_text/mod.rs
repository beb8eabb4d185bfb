//! Reads `PROTOCOL.md`: its sections, the rows of its tables, and its blocks of code.

// Each test program uses a part of these items.
#![allow(dead_code)]

pub const DOCUMENT: &str = include_str!("../../PROTOCOL.md");

/// The text between a heading and the next one of its level or above.
pub fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let level = heading.split(' ').next().unwrap();
    let begin = text.find(&format!("{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}")) + heading.len();
    let rest = &text[begin..];
    let end = (1..=level.len()).filter_map(|n| rest.find(&format!("\n{} ", "#".repeat(n)))).min();
    &rest[..end.unwrap_or(rest.len())]
}

/// The rows of the tables in a text whose first column has this title.
pub fn rows<'a>(text: &'a str, title: &str) -> Vec<Vec<&'a str>> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match (line.starts_with('|'), inside) {
            (false, _) => inside = false,
            (true, false) => inside = cells[0] == title,
            (true, true) if cells[0].starts_with("---") => {}
            (true, true) => rows.push(cells),
        }
    }
    rows
}

/// The blocks of code of a text that are marked with this language.
pub fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}
