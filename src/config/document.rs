//! Reads the configuration file: its values, and the line of each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use toml::Table;
use toml::de::{DeTable, DeValue};

use super::error::ConfigProblem;
use super::key_path::KeyPath;
use super::origins::{ValueOrigin, ValueOrigins};
use super::settings::from_document;

/// Reads a file. What is no TOML is a problem at its line; an error of the parser never quotes a value.
pub(super) fn read(file: &Path) -> Result<(Table, ValueOrigins), ConfigProblem> {
    let here = || Some(file.display().to_string());
    let bytes = fs::read(file).map_err(|why| ConfigProblem::at(here(), format!("the configuration file cannot be read: {why}")))?;
    let text = String::from_utf8(bytes).map_err(|_| ConfigProblem::at(here(), "the configuration file must be text in UTF-8"))?;
    let lines = DocumentLines::of_text(&text);
    let parsed = DeTable::parse(&text).map_err(|why| {
        let line = why.span().map_or(1, |span| lines.of(span.start));
        ConfigProblem::at(Some(format!("{}, line {line}", file.display())), format!("no valid TOML: {}", why.message().replace('\n', ", ")))
    })?;
    let mut origins = BTreeMap::new();
    lines.collect(parsed.get_ref(), &KeyPath::default(), &mut origins);
    let values = parsed.get_ref().iter().map(|(name, value)| (name.get_ref().to_string(), from_document(value.get_ref()))).collect();
    Ok((values, ValueOrigins::of_file(file, origins)))
}

/// Where the lines of a file end, in bytes. A server of many pools has a long file, so the line of each value is not counted from its start.
struct DocumentLines(Vec<usize>);

impl DocumentLines {
    fn of_text(text: &str) -> DocumentLines {
        DocumentLines(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    /// The number of the line that a byte stands in.
    fn of(&self, at: usize) -> usize {
        1 + self.0.partition_point(|end| *end < at)
    }

    fn collect(&self, table: &DeTable<'_>, path: &KeyPath, origins: &mut BTreeMap<KeyPath, ValueOrigin>) {
        for (name, value) in table {
            let path = path.name(name.get_ref());
            origins.insert(path.clone(), ValueOrigin::Line(self.of(name.span().start)));
            match value.get_ref() {
                DeValue::Table(table) => self.collect(table, &path, origins),
                DeValue::Array(entries) => {
                    for (at, entry) in entries.iter().enumerate() {
                        let path = path.entry(at);
                        origins.insert(path.clone(), ValueOrigin::Line(self.of(entry.span().start)));
                        if let DeValue::Table(table) = entry.get_ref() {
                            self.collect(table, &path, origins);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}
