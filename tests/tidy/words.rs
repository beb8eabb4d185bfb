//! Names are the field's, and each names one thing.

use std::collections::BTreeMap;

/// Metaphors that stood in names once. None is a word of a name any more: of a type, a function, a variable, a module, a metric, a setting.
const METAPHORS: &str = "\
    bell bury desk door fate gather greet halts heed house keeper keeping lane mailbox making mend mending mover office \
    purse redate room sleeper strangers tap tell worked young";

/// Words that may stand in a longer name but are no name of a type by themselves: they say nothing, or something else than the field does.
const NO_TYPE: &str = "\
    Answer Arrival Asked Call Cut Desk Door End Entry Fate Feed Following Halts Head Held Inner Keeping Known Lane Lanes \
    Left Line Mailbox Making Mark Marks Now Office Old Part Post Purse Room Rooms Run Seen Sent Shared Sleeper State Step \
    Strangers Taken Tap Told Turned Visitor What Who Whom Worked Works";

/// Phrases that comments, documents and messages do without: each hides who acts.
const PHRASES: &[&str] = &[
    "whoever",
    "whomever",
    "is told so",
    "are told so",
    "young layer",
    "old layer",
    " house",
    "mend it",
    "hand in ",
    "hands in ",
    "handed in",
    "heed",
    "purse",
    "sleeper",
    "mailbox",
];

/// The words of a name, in lower case: `PushService` and `push_service` are both "push" and "service".
fn parts(name: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut word = String::new();
    let mut before = '_';
    for c in name.chars() {
        if c == '_' || c == '-' || (c.is_uppercase() && before.is_lowercase()) {
            parts.push(std::mem::take(&mut word));
        }
        if c != '_' && c != '-' {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    parts.push(word);
    parts.retain(|part| !part.is_empty());
    parts
}

/// Names in a code that are metaphors.
pub fn metaphors(code: &str) -> Vec<&str> {
    let names = code.split(|c: char| !c.is_alphanumeric() && c != '_');
    names.filter(|name| parts(name).iter().any(|part| is_metaphor(part))).collect()
}

/// Whether a word is a metaphor, in the singular or the plural.
fn is_metaphor(word: &str) -> bool {
    let word = word.strip_suffix('s').unwrap_or(word);
    METAPHORS.split_whitespace().any(|metaphor| metaphor.strip_suffix('s').unwrap_or(metaphor) == word)
}

/// Phrases in a text that hide who acts.
pub fn phrases(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    PHRASES.iter().copied().filter(|phrase| text.contains(phrase)).collect()
}

/// The types that a code defines at any depth, associated types apart.
pub fn types(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in code.lines() {
        let bare = line.trim_start();
        let bare = bare.strip_prefix("pub").map_or(bare, |rest| {
            let rest = if rest.starts_with('(') { rest.split_once(')').map_or(rest, |(_, rest)| rest) } else { rest };
            rest.trim_start()
        });
        let kinds: &[&str] =
            if line.starts_with(char::is_whitespace) { &["struct ", "enum ", "trait "] } else { &["struct ", "enum ", "trait ", "type "] };
        let name = kinds.iter().find_map(|kind| bare.strip_prefix(kind));
        found.extend(name.and_then(|name| name.split(|c: char| !c.is_alphanumeric() && c != '_').next()).filter(|name| !name.is_empty()));
    }
    found
}

/// Whether a type's name says nothing by itself.
pub fn says_nothing(name: &str) -> bool {
    NO_TYPE.split_whitespace().any(|word| word == name)
}

/// Names of types that stand in more than one place, each with its places.
pub fn shared<'a>(types: impl Iterator<Item = (&'a str, String)>) -> BTreeMap<&'a str, Vec<String>> {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, place) in types {
        places.entry(name).or_default().push(place);
    }
    places.retain(|_, places| places.len() > 1);
    places
}

#[test]
fn metaphors_are_found_in_any_spelling() {
    assert_eq!(metaphors("let push_desk = PushDesk::new(desktop);"), ["push_desk", "PushDesk"]);
    assert_eq!(metaphors("fn find_rooms() -> Roomy {}"), ["find_rooms"]);
    assert_eq!(metaphors("fn visits_rooms() -> Roomy {}"), ["visits_rooms"]);
    assert_eq!(phrases("It is for Whoever asked."), ["whoever"]);
    assert_eq!(types("pub(super) struct One {\n}\n    enum Two<T> {}\n    type Item = u8;\ntype Three = u8;"), ["One", "Two", "Three"]);
    let twice = [("A", "x".to_owned()), ("B", "x".to_owned()), ("A", "y".to_owned())];
    assert_eq!(shared(twice.into_iter()).into_keys().collect::<Vec<_>>(), ["A"]);
}
