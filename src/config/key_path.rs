//! The place of a value in a configuration file.

use std::fmt;

/// The names and entries that lead to a value: `pools.app.issuers`, then its second entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(Vec<KeySegment>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeySegment {
    /// The name of a table or a setting.
    Name(String),
    /// An entry of a list, counted from 0.
    Entry(usize),
}

impl KeyPath {
    /// The path of a setting without `*` in its name.
    pub(super) fn of_setting(name: &str) -> KeyPath {
        KeyPath(name.split('.').map(|part| KeySegment::Name(part.to_owned())).collect())
    }

    pub(super) fn name(&self, name: &str) -> KeyPath {
        self.child(KeySegment::Name(name.to_owned()))
    }

    pub(super) fn entry(&self, at: usize) -> KeyPath {
        self.child(KeySegment::Entry(at))
    }

    pub(super) fn child(&self, segment: KeySegment) -> KeyPath {
        KeyPath([self.0.as_slice(), &[segment]].concat())
    }

    /// The path without its last part; `None` for the file itself.
    pub(super) fn parent(&self) -> Option<KeyPath> {
        self.0.split_last().map(|(_, parents)| KeyPath(parents.to_vec()))
    }

    /// The last name.
    pub(super) fn last(&self) -> &str {
        self.parts().last().copied().unwrap_or_default()
    }

    /// The parts as the names of settings are compared with; an entry is any text.
    pub(super) fn parts(&self) -> Vec<&str> {
        self.0
            .iter()
            .map(|segment| match segment {
                KeySegment::Name(name) => name.as_str(),
                KeySegment::Entry(_) => "*",
            })
            .collect()
    }
}

impl fmt::Display for KeyPath {
    /// As the file has it, without the numbers of entries, which the line says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut dot = "";
        for segment in &self.0 {
            let KeySegment::Name(name) = segment else { continue };
            let is_bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
            match is_bare {
                true => write!(f, "{dot}{name}")?,
                false => write!(f, "{dot}{name:?}")?,
            }
            dot = ".";
        }
        Ok(())
    }
}
