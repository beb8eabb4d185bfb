//! Tells the program from which commit it is built, for `driftless --version`.
//!
//! Only an optimised build asks the repository, so that a commit rebuilds nothing while one works. A build from an archive of the source has no
//! repository; a packager sets `BUILD_COMMIT` (no name with this
//! program's own prefix: cargo passes what a build script sets on to the program that it runs). Programs are not called: `git` need not be there, and the answer is two small files.

use std::fs;
use std::path::{Path, PathBuf};

/// How many characters of a commit are shown.
const SHOWN: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=BUILD_COMMIT");
    let given = std::env::var("BUILD_COMMIT").ok().filter(|commit| !commit.is_empty());
    let is_optimised = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    // Only a repository of this folder: an archive that was unpacked in another repository is not at that one's commit.
    let commit = given.or_else(|| if is_optimised { commit_of(Path::new(".git")) } else { None });
    if let Some(commit) = commit.filter(|commit| commit.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+".contains(&b))) {
        println!("cargo::rustc-env=BUILD_COMMIT={}", commit.chars().take(SHOWN).collect::<String>());
    }
}

/// The commit that is checked out, by the files of the repository. Each file that it depends on is watched.
fn commit_of(git: &Path) -> Option<String> {
    // In a further work tree `.git` is a file that names the folder; the branches are in the repository's own.
    let folder = match fs::read_to_string(git) {
        Ok(text) => PathBuf::from(text.trim().strip_prefix("gitdir: ")?),
        Err(_) => git.to_owned(),
    };
    let common = fs::read_to_string(folder.join("commondir")).map_or(folder.clone(), |common| folder.join(common.trim()));
    let head = read_watched(&folder.join("HEAD"))?;
    let Some(branch) = head.strip_prefix("ref: ") else { return Some(head) };
    let file = common.join(branch);
    read_watched(&file).or_else(|| {
        // The next commit makes the branch a file of its own.
        if let Some(folder) = file.parent().filter(|folder| folder.is_dir()) {
            println!("cargo::rerun-if-changed={}", folder.display());
        }
        let packed = read_watched(&common.join("packed-refs"))?;
        packed.lines().find_map(|line| Some(line.strip_suffix(branch)?.trim().to_owned()))
    })
}

fn read_watched(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    println!("cargo::rerun-if-changed={}", file.display());
    Some(text.trim().to_owned())
}
