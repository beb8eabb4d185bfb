//! How this program was called, so that a command which it prints can be copied as it is.

use std::ffi::OsStr;
use std::path::Path;

/// The words that call this program: its name or path as it was called, or `cargo run`.
pub fn name() -> String {
    // Cargo sets the variables of the package for a program that it runs.
    let by_cargo = std::env::var("CARGO_PKG_NAME").is_ok_and(|package| package == env!("CARGO_PKG_NAME"));
    name_of(std::env::args_os().next().as_deref(), by_cargo)
}

fn name_of(program: Option<&OsStr>, by_cargo: bool) -> String {
    let Some(program) = program.filter(|program| !program.is_empty()) else { return "driftless".to_owned() };
    let profile = Path::new(program).parent().and_then(Path::file_name).and_then(OsStr::to_str);
    match (by_cargo, profile) {
        (true, Some("release")) => "cargo run --release --".to_owned(),
        (true, Some("debug")) => "cargo run --".to_owned(),
        (true, Some("dist")) => "cargo run --profile dist --".to_owned(),
        _ => quoted(&program.to_string_lossy()),
    }
}

/// A word of a shell's command line.
fn quoted(word: &str) -> String {
    let is_plain = word.chars().all(|c| c.is_alphanumeric() || "/._-+=:@%,~".contains(c));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_named_as_it_was_called() {
        for (program, by_cargo, name) in [
            (Some("driftless"), false, "driftless"),
            (Some("/usr/local/bin/driftless-0.1"), false, "/usr/local/bin/driftless-0.1"),
            (Some("./target/release/driftless"), false, "./target/release/driftless"),
            (Some("target/release/driftless"), true, "cargo run --release --"),
            (Some("/src/target/debug/driftless"), true, "cargo run --"),
            (Some("target/dist/driftless"), true, "cargo run --profile dist --"),
            (Some("/my apps/it's"), false, "'/my apps/it'\\''s'"),
            (Some(""), false, "driftless"),
            (None, true, "driftless"),
        ] {
            assert_eq!(name_of(program.map(OsStr::new), by_cargo), name);
        }
    }
}
