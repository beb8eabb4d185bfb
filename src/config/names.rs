//! Which names a configuration may have at a place, and what an unknown one was probably meant to be.

use std::collections::BTreeSet;

use super::key_path::KeyPath;
use super::settings::{ConfigSetting, SETTINGS};

/// The most edits between an unknown name and a known one that it was probably meant to be. A short name allows fewer.
const MAX_EDITS: usize = 3;

/// How many names a hint lists.
const MAX_LISTED: usize = 24;

/// What stands at a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum ConfigPlace {
    Setting(&'static ConfigSetting),
    /// A table with known names, or one whose names the operator chooses.
    Table,
    /// A list of tables.
    Tables,
}

/// What stands at a path; `None`: nothing may.
pub(super) fn place(path: &KeyPath) -> Option<ConfigPlace> {
    let parts = path.parts();
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.is_named(&parts)) {
        return Some(ConfigPlace::Setting(setting));
    }
    let inside = SETTINGS.iter().find(|setting| setting.is_inside(&parts))?;
    // `pools.*` are tables that the operator names, and so are the values of `pools.*.datasets.*`. Any other `*` is an entry of a list.
    let next: Vec<&str> = inside.name.split('.').skip(parts.len()).collect();
    match next.as_slice() {
        ["*", _, ..] if parts != ["pools"] => Some(ConfigPlace::Tables),
        _ => Some(ConfigPlace::Table),
    }
}

/// The settings that every entry of this list must have.
pub(super) fn required(list: &KeyPath) -> impl Iterator<Item = &'static str> {
    let entry = list.entry(0);
    let parts = entry.parts().len();
    let names = SETTINGS.iter().filter(move |setting| setting.is_required && setting.is_inside(&entry.parts()));
    names.filter_map(move |setting| setting.name.split('.').nth(parts))
}

/// What is wrong with an unknown key, and what was probably meant.
pub(super) fn unknown(path: &KeyPath) -> String {
    let table = path.parent().unwrap_or_default();
    let known = names_in(&table);
    let name = path.last();
    let near = nearest(name, known.iter().copied());
    let hint = match (near, elsewhere(name)) {
        (Some(near), _) => format!("did you mean {near}?"),
        (None, Some(place)) => format!("it belongs {place}"),
        (None, None) => {
            let listed: Vec<&str> = known.iter().copied().take(MAX_LISTED).collect();
            format!("known here: {}", listed.join(", "))
        }
    };
    format!("unknown key {path}; {hint}")
}

/// The known name that is nearest to a text, if it is near enough to be meant.
pub(super) fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_ascii_lowercase().replace('-', "_");
    let edits = |name: &str| strsim::damerau_levenshtein(&text, &name.to_ascii_lowercase());
    let nearest = known.map(|name| (edits(name), name)).min()?;
    (nearest.0 <= MAX_EDITS.min(text.chars().count().div_ceil(3))).then_some(nearest.1)
}

/// The names that may stand in a table.
fn names_in(table: &KeyPath) -> BTreeSet<&'static str> {
    let parts = table.parts();
    let inside = SETTINGS.iter().filter(|setting| setting.is_inside(&parts));
    inside.filter_map(|setting| setting.name.split('.').nth(parts.len())).filter(|name| *name != "*").collect()
}

/// Where else a name is known: a key below the header of another table is a common mistake.
fn elsewhere(name: &str) -> Option<String> {
    let name = &name.replace('-', "_");
    let tables = SETTINGS.iter().filter_map(|setting| {
        let parts: Vec<&str> = setting.name.split('.').collect();
        let at = parts.iter().position(|part| part == name)?;
        Some(parts[..at].join("."))
    });
    let places: BTreeSet<String> = tables.map(|table| place_in(&table)).collect();
    (!places.is_empty()).then(|| places.into_iter().collect::<Vec<_>>().join(", or "))
}

/// How a file gives a key to a table.
fn place_in(table: &str) -> String {
    // `pools.*` is a table with a name, `pools.*.issuers.*` an entry of a list.
    let (table, is_list) = match table.strip_suffix(".*") {
        Some(entries) if table != "pools.*" => (entries, true),
        _ => (table, false),
    };
    match (table.replace('*', "NAME").as_str(), is_list) {
        ("", _) => "at the top, above the first [table]".to_owned(),
        (table, true) => format!("into [[{table}]]"),
        (table, false) => format!("into [{table}]"),
    }
}
