//! Commands of the real binary, and what they print.

use std::path::Path;
use std::process::Output;

use super::{driftless, wait_for};

pub async fn output(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = driftless();
    command.args(arguments).envs(variables.iter().copied());
    wait_for(arguments[0], command.output()).await.unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command prints that must succeed.
pub async fn printed(arguments: &[&str]) -> String {
    let output = output(arguments, &[]).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A production configuration; `more` is added to it.
pub fn production_config(folder: &Path, more: &str) -> String {
    let issuer =
        "[[pools.app.issuers]]\nissuer = \"i\"\naudience = [\"a\"]\nsecret = \"a secret that only this test and its issuer know\"\n";
    let file = folder.join("driftless.toml");
    std::fs::write(&file, format!("{issuer}{more}")).unwrap();
    file.to_str().unwrap().to_owned()
}

/// The rows of the first table below a heading of docs/commands.md, as cells.
pub fn document_rows(heading: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let document = include_str!("../../../docs/commands.md");
    let section = document.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.replace("\\|", "\u{a6}").leak().trim_matches('|').split('|').map(str::trim).collect())
}
