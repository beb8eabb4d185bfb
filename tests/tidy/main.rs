//! The rules of the house, held by a test: which room may import which, and what stands in one place only.

#![allow(clippy::unwrap_used)]

mod circles;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which rooms of `src/` a room may import. Arrows point down: whoever stands later is never allowed to import whoever stands earlier.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["app", "config", "dev", "operator", "client", "admin", "push"]),
    (
        "app",
        &[
            "config",
            "http",
            "session",
            "admin",
            "sync",
            "identity",
            "reaper",
            "push",
            "committer",
            "store",
            "auth",
            "clock",
            "hub",
            "metrics",
        ],
    ),
    ("config", &["http", "session", "admin", "sync", "push", "store", "auth", "merge"]),
    ("dev", &["auth"]),
    ("operator", &["store", "client"]),
    ("http", &["session", "admin", "sync", "push", "committer", "store", "metrics"]),
    ("session", &["sync", "identity", "push", "committer", "store", "auth", "clock", "hub", "metrics"]),
    ("admin", &["sync", "push", "committer", "store", "clock", "hub"]),
    ("sync", &["push", "committer", "store", "clock", "merge"]),
    ("identity", &["committer", "store"]),
    ("reaper", &["committer", "store", "clock", "metrics"]),
    ("push", &["committer", "store", "clock", "metrics"]),
    ("committer", &["store", "clock", "hub", "metrics"]),
    ("store", &["merge"]),
    ("client", &[]),
    ("auth", &[]),
    ("clock", &[]),
    ("hub", &[]),
    ("merge", &[]),
    ("metrics", &[]),
    ("lib", &[]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder with this ending, as paths from the root.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true if path.ends_with("target") || path.ends_with("node_modules") => {}
                true => folders.push(path),
                false if path.to_str().unwrap().ends_with(ending) => found.push(path.strip_prefix(root()).unwrap().to_owned()),
                false => {}
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "nothing below {folder}");
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Code without its comments and without the tests at its end.
fn code(path: &Path) -> String {
    let text = read(path);
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_test(path: &Path) -> bool {
    let name = path.to_str().unwrap();
    name.ends_with("tests.rs")
        || name.contains("/attacks")
        || name.contains("/tests/")
        || ["rotation.rs", "stand_in.rs", "support.rs", "fake.rs"].iter().any(|end| name.ends_with(end))
}

fn room(path: &Path) -> String {
    path.strip_prefix("src").unwrap().components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The rooms that a file names, as `crate::room` or, in `main`, as `driftless::room`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for prefix in ["crate::", "driftless::"] {
        for (at, _) in code.match_indices(prefix) {
            let rest = &code[at + prefix.len()..];
            let list = rest.strip_prefix('{').map_or(rest, |inside| inside.split('}').next().unwrap());
            let many = rest.starts_with('{');
            for one in list.split(',').take(if many { usize::MAX } else { 1 }) {
                rooms.insert(one.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect());
            }
        }
    }
    rooms.remove("");
    rooms
}

#[test]
fn arrows_point_down() {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let order: Vec<_> = ARROWS.iter().map(|(room, _)| *room).collect();
    for (at, (room, below)) in ARROWS.iter().enumerate() {
        assert!(below.iter().all(|one| order[at..].contains(one)), "{room} would import upwards");
    }
    for path in files("src", ".rs").iter().filter(|path| !is_test(path)) {
        let room = room(path);
        let allowed = allowed.get(room.as_str()).unwrap_or_else(|| panic!("{} is in no known room", path.display()));
        for import in imports(&code(path)) {
            assert!(import == room || allowed.contains(&import.as_str()), "{} imports {import}", path.display());
        }
    }
}

#[test]
fn no_files_form_a_circle() {
    let roots = [
        "src/lib.rs",
        "src/main.rs",
        "standin/src/lib.rs",
        "protocol/src/lib.rs",
        "clients/rust/src/lib.rs",
        "loadtest/src/main.rs",
        "tests/it/main.rs",
        "tests/crash/main.rs",
        "tests/powercut/main.rs",
        "tests/model/main.rs",
        "tests/interleavings/lib.rs",
        "benches/store/main.rs",
    ];
    let found: Vec<_> = roots.iter().filter(|f| root().join(f).exists()).flat_map(|file| circles::circles(&root().join(file))).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn what_belongs_to_one_place_stands_there_only() {
    // The status that an issuer answers with is no status of ours.
    let places: [(&str, &[&str]); 3] = [
        ("sled::", &["src/store/engine/"]),
        ("StatusCode::", &["src/http/error.rs", "src/auth/fetcher.rs"]),
        ("rmp_serde", &["src/store/rows.rs"]),
    ];
    for (word, places) in places {
        let mut found = false;
        for path in files("src", ".rs").iter().filter(|path| !is_test(path)) {
            let here = places.iter().any(|place| path.to_str().unwrap().starts_with(place));
            let named = code(path).contains(word);
            assert!(here || !named, "{} names {word}", path.display());
            found |= named;
        }
        assert!(found, "{word} stands nowhere: this rule holds nothing");
    }
}

#[test]
fn the_protocol_knows_no_other_crate_of_ours() {
    for path in files("protocol", ".toml").iter().chain(&files("protocol/src", ".rs")) {
        let text = read(path).replace("driftless-protocol", "").replace("driftless.v1", "");
        assert!(
            !text.contains("driftless_client") && !text.contains("driftless-client") && !text.contains("path = \"..\""),
            "{}",
            path.display()
        );
    }
    for path in files("clients/rust/src", ".rs") {
        assert!(!read(&path).contains("use driftless::"), "{}", path.display());
    }
}

#[test]
fn merge_and_the_machine_are_pure() {
    for name in ["src/merge.rs", "src/session/timers.rs", "src/session/subscription.rs"] {
        let code = code(Path::new(name));
        for impure in ["tokio", "SystemTime", "Instant", "std::fs", "std::net", "async fn", "random"] {
            assert!(!code.contains(impure), "{name} names {impure}");
        }
    }
}

#[test]
fn nothing_is_left_undone_and_no_file_is_long() {
    for path in files("src", ".rs").iter().chain(&files("protocol/src", ".rs")).chain(&files("clients/rust/src", ".rs")) {
        let text = read(path);
        for word in [concat!("TO", "DO"), concat!("FIX", "ME"), "unimplemented!", concat!("to", "do!")] {
            assert!(!text.contains(word), "{} says {word}", path.display());
        }
        assert!(text.lines().count() <= 420, "{} is longer than a few screens: a second thing is hiding in it", path.display());
    }
}

#[test]
fn the_example_configuration_is_what_the_command_prints() {
    let example = read(Path::new("deploy/config.example.toml"));
    assert_eq!(example, driftless::config::ExampleConfig.to_string(), "driftless config > deploy/config.example.toml");
}

#[test]
fn every_file_of_the_demo_page_is_served() {
    let served = read(Path::new("src/dev/page.rs"));
    let folder = root().join("src/dev/demo");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(served.contains(&format!("\"{name}\"")), "{name} is not served");
    }
}
