//! The known name that a misspelt one may stand for.

/// Names of which only this much differs are near: one character in five, and at least one.
const CHARS_PER_TYPO: usize = 5;

/// Longer names have no suggestion: comparing them takes time that grows with their square.
const MAX_BYTES: usize = 64;

/// The nearest of the known names, if one is near.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    if name.len() > MAX_BYTES {
        return None;
    }
    let typos = 1 + name.chars().count() / CHARS_PER_TYPO;
    let short = known.filter(|known| known.len() <= MAX_BYTES + typos);
    let near = short.map(|known| (strsim::osa_distance(name, known), known)).filter(|(distance, _)| *distance <= typos);
    near.min().map(|(_, known)| known.to_owned())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typo_finds_the_name_and_another_word_does_not() {
        let known = ["settings", "contacts", "a"];
        for (name, found) in [
            ("setings", Some("settings")),
            ("settigns", Some("settings")),
            ("Settings", Some("settings")),
            ("b", Some("a")),
            ("weather", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()).as_deref(), found, "{name}");
        }
    }
}
