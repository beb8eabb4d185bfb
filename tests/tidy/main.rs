//! Rules about the source that no other tool checks: which module may import which, that no files form a circle, and which dependencies
//! only one module may use.

#![allow(clippy::unwrap_used)]

mod circles;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The modules of `src/` that each module may import. A module may only import modules that stand below it in this list.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["app", "config", "dev", "operator", "client", "admin", "push", "invocation", "logging"]),
    ("serve", &["app", "config", "dev", "push", "logging", "signals"]),
    ("signals", &["logging", "stop_times"]),
    ("version", &["store"]),
    ("shell", &[]),
    (
        "app",
        &[
            "config",
            "dev",
            "aws",
            "http",
            "session",
            "admin",
            "sync",
            "identity",
            "objects",
            "access",
            "keyring",
            "reaper",
            "push",
            "committer",
            "store",
            "auth",
            "clock",
            "hub",
            "limits",
            "logging",
            "metrics",
            "pools",
            "stop_times",
            "mail",
            "users",
        ],
    ),
    (
        "config",
        &[
            "access",
            "http",
            "session",
            "admin",
            "sync",
            "push",
            "store",
            "auth",
            "keyring",
            "limits",
            "logging",
            "merge",
            "invocation",
            "origin",
            "pools",
            "secret_file",
            "stop_times",
        ],
    ),
    ("dev", &["auth", "invocation"]),
    ("operator", &["push", "store", "client", "invocation", "secret_file"]),
    ("fuzzing", &["store", "merge"]),
    ("aws", &["objects", "identity", "sync", "pools", "users", "keyring", "access", "committer", "store", "clock", "limits"]),
    (
        "http",
        &["access", "identity", "session", "admin", "sync", "pools", "push", "committer", "store", "limits", "metrics", "origin", "clock"],
    ),
    ("session", &["sync", "identity", "pools", "push", "committer", "store", "auth", "clock", "hub", "limits", "metrics", "origin"]),
    ("admin", &["sync", "identity", "pools", "auth", "push", "committer", "store", "clock", "hub", "logging"]),
    ("sync", &["pools", "push", "committer", "store", "clock", "merge"]),
    ("identity", &["pools", "access", "auth", "keyring", "committer", "store", "clock", "hub", "limits", "logging", "merge", "origin"]),
    ("reaper", &["pools", "committer", "store", "clock", "metrics"]),
    ("pools", &["store", "limits", "merge", "origin"]),
    ("push", &["committer", "store", "auth", "clock", "metrics"]),
    ("objects", &["access", "committer", "store", "clock"]),
    ("users", &["keyring", "mail", "committer", "store", "clock"]),
    ("mail", &[]),
    ("access", &["keyring", "committer", "store", "clock"]),
    ("keyring", &["committer", "store", "clock"]),
    ("committer", &["store", "clock", "hub", "limits", "metrics"]),
    ("store", &["merge"]),
    ("client", &["invocation", "secret_file"]),
    ("auth", &["secret_file"]),
    ("clock", &[]),
    ("hub", &[]),
    ("invocation", &[]),
    ("limits", &[]),
    ("logging", &[]),
    ("merge", &[]),
    ("metrics", &[]),
    ("origin", &[]),
    ("secret_file", &[]),
    ("stop_times", &[]),
    ("lib", &[]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder with this ending, as paths relative to the repository's root.
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
    assert!(!found.is_empty(), "no file below {folder} ends with {ending}");
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The code of a file, without comments and without the unit tests at its end.
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

/// The module of `src/` to which a file belongs.
fn module(path: &Path) -> String {
    path.strip_prefix("src").unwrap().components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The modules that a file names, as `crate::module` or, in `main`, as `driftless::module`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for prefix in ["crate::", "driftless::"] {
        for (at, _) in code.match_indices(prefix) {
            let rest = &code[at + prefix.len()..];
            let list = rest.strip_prefix('{').map_or(rest, |inside| inside.split('}').next().unwrap());
            let is_list = rest.starts_with('{');
            for one in list.split(',').take(if is_list { usize::MAX } else { 1 }) {
                modules.insert(one.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect());
            }
        }
    }
    modules.remove("");
    modules
}

#[test]
fn modules_import_only_modules_below_them() {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let order: Vec<_> = ARROWS.iter().map(|(module, _)| *module).collect();
    for (at, (module, below)) in ARROWS.iter().enumerate() {
        assert!(below.iter().all(|one| order[at..].contains(one)), "{module} is allowed to import a module above it");
    }
    for path in files("src", ".rs").iter().filter(|path| !is_test(path)) {
        let module = module(path);
        let allowed = allowed.get(module.as_str()).unwrap_or_else(|| panic!("{} is in no known module", path.display()));
        for import in imports(&code(path)) {
            assert!(import == module || allowed.contains(&import.as_str()), "{} imports {import}", path.display());
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
        "protocol/tests/document.rs",
        "protocol/tests/vectors.rs",
        "clients/rust/src/lib.rs",
        "clients/rust/tests/history.rs",
        "clients/rust/tests/sessions.rs",
        "loadtest/src/main.rs",
        "tests/it/main.rs",
        "tests/crash/main.rs",
        "tests/powercut/main.rs",
        "tests/model/main.rs",
        "tests/tidy/main.rs",
        "tests/interleavings/lib.rs",
        "benches/store/main.rs",
    ];
    let found: Vec<_> = roots.iter().flat_map(|file| circles::circles(&root().join(file))).collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// The folders with Rust files of the project's own.
const RUST_FOLDERS: [&str; 8] = ["src", "standin", "protocol", "clients", "loadtest", "tests", "benches", "fuzz"];

#[test]
fn no_two_types_share_a_name_and_none_has_a_name_that_says_nothing() {
    let sources: Vec<_> = RUST_FOLDERS.iter().flat_map(|folder| files(folder, ".rs")).map(|path| (read(&path), path)).collect();
    let types = sources.iter().flat_map(|(text, path)| words::types(text).into_iter().map(|name| (name, path.display().to_string())));
    let types: Vec<_> = types.collect();
    assert!(types.len() > 500, "only {} types were found", types.len());
    let shared = words::shared(types.iter().cloned());
    assert!(shared.is_empty(), "types that share a name: {shared:#?}");
    let vague: Vec<_> = types.iter().filter(|(name, _)| words::says_nothing(name)).collect();
    assert!(vague.is_empty(), "types whose name says nothing by itself: {vague:#?}");
}

#[test]
fn no_name_is_a_metaphor_and_no_sentence_hides_who_acts() {
    let is_list = |path: &Path| path.ends_with("tidy/words.rs");
    let code = RUST_FOLDERS.iter().flat_map(|folder| files(folder, ".rs")).filter(|path| !is_list(path));
    let mut found = Vec::new();
    for path in code {
        let text = read(&path);
        // In a sentence such a word may be plain English; in a name it never is.
        let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
        found.extend(words::metaphors(&code).into_iter().map(|name| format!("{}: {name}", path.display())));
        found.extend(words::phrases(&text).into_iter().map(|phrase| format!("{}: \"{phrase}\"", path.display())));
    }
    let others =
        [files("docs", ".md"), files("protocol", ".md"), files("loadtest", ".md"), files("deploy", ".toml"), files("loadtest", ".toml")];
    let scripts = [files("src/dev/demo", ".js"), files("tests/browser", ".mjs")];
    let top =
        ["Cargo.toml", "tests/run", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(PathBuf::from);
    for path in others.concat().into_iter().chain(scripts.concat()).chain(top) {
        found.extend(words::phrases(&read(&path)).into_iter().map(|phrase| format!("{}: \"{phrase}\"", path.display())));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn dependencies_of_one_module_are_named_only_there() {
    // The fetcher reads the status of an issuer's response; the server's own statuses are named only in `http/error.rs`, those of AWS's wire only in
    // `aws/error/status.rs`; the library that speaks S3 has no error for "not modified".
    let places: [(&str, &[&str]); 3] = [
        ("sled::", &["src/store/engine/"]),
        ("StatusCode::", &["src/http/error.rs", "src/auth/fetcher.rs", "src/aws/error/status.rs", "src/objects/s3/conditions.rs"]),
        ("rmp_serde", &["src/store/rows.rs", "src/keyring/rows.rs"]),
    ];
    for (word, places) in places {
        let mut found = false;
        for path in files("src", ".rs").iter().filter(|path| !is_test(path)) {
            let here = places.iter().any(|place| path.to_str().unwrap().starts_with(place));
            let named = code(path).contains(word);
            assert!(here || !named, "{} names {word}", path.display());
            found |= named;
        }
        assert!(found, "no file names {word}: this rule checks nothing");
    }
}

#[test]
fn the_protocol_crate_uses_no_other_crate_of_the_workspace() {
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
fn merge_and_other_pure_decisions_do_no_io() {
    let single = [
        "src/merge.rs",
        "src/session/timers.rs",
        "src/session/subscription.rs",
        "src/push/wakes.rs",
        "src/access/evaluate.rs",
        "src/keyring/generations.rs",
        "src/keyring/signing_schedule.rs",
    ]
    .map(PathBuf::from);
    let folders = ["src/merge", "src/push/wakes", "src/access/policy"].map(|folder| files(folder, ".rs")).concat();
    for path in single.iter().chain(&folders).filter(|path| !is_test(path)) {
        let (name, code) = (path.display(), code(path));
        // An address is a value; a socket is not.
        let sockets = ["TcpStream", "TcpListener", "UdpSocket", "ToSocketAddrs"];
        for impure in ["tokio", "SystemTime", "Instant", "std::fs", "async fn", "random"].into_iter().chain(sockets) {
            assert!(!code.contains(impure), "{name} names {impure}");
        }
    }
}

#[test]
fn no_file_is_unfinished_or_longer_than_420_lines() {
    for path in RUST_FOLDERS.iter().flat_map(|folder| files(folder, ".rs")) {
        let text = read(&path);
        for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("unimple", "mented!"), concat!("to", "do!")] {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
        assert!(text.lines().count() <= 420, "{} is longer than 420 lines: it does more than one thing", path.display());
    }
}

#[test]
fn the_example_configuration_is_what_the_command_prints() {
    let example = read(Path::new("deploy/config.example.toml"));
    assert_eq!(example, driftless::config::ExampleConfig.to_string(), "driftless config > deploy/config.example.toml");
}

#[test]
fn every_variable_that_a_command_or_a_page_names_is_one_that_the_program_knows() {
    let sources =
        [files("src/client", ".rs"), files("src/operator", ".rs"), vec![PathBuf::from("README.md"), PathBuf::from("docs/operating.md")]];
    let mut found = BTreeSet::new();
    for path in sources.concat() {
        let text = read(&path);
        for (at, _) in text.match_indices("DRIFTLESS_") {
            let name: String = text[at..].chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            assert!(driftless::config::is_known(&name), "{} names {name}", path.display());
            found.insert(name);
        }
    }
    assert!(found.len() >= 5, "{found:?}");
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
