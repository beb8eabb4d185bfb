//! Finds circles of files: files that import each other, directly or through others.
//!
//! Imports are read from the text: `use` trees, and paths that begin with `crate`, `super`, `self` or a module's name. The use of a name
//! that a module re-exports is an import of the file that defines it, so no file imports a `mod.rs` that only declares and re-exports.
//! Unit tests at the end of a file (`mod tests { ... }`) do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module's path in its crate: the names of the modules around it, outermost first, and its own name.
type ModulePath = Vec<String>;

/// How many re-exports of a re-export are followed before the search for a name's file ends.
const MAX_REEXPORTS: usize = 12;

struct SourceFile {
    file: PathBuf,
    text: String,
    /// `pub use`: the exported name, and the path that it stands for.
    reexports: BTreeMap<String, Vec<String>>,
    /// `pub use a::*`: the paths of `a`.
    globs: Vec<Vec<String>>,
    /// `use`: the path, and its name in this file.
    imports: Vec<(Vec<String>, String)>,
}

/// The files of a crate, by their modules.
struct CrateFiles(BTreeMap<ModulePath, SourceFile>);

/// The circles in the crate with this root file; each is the list of its files.
pub fn circles(root: &Path) -> Vec<Vec<PathBuf>> {
    let files = CrateFiles::read(root);
    let arrows: BTreeMap<&ModulePath, BTreeSet<ModulePath>> = files.0.keys().map(|module| (module, files.arrows(module))).collect();
    let reached: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> = arrows.keys().map(|module| (*module, reach(&arrows, module))).collect();
    let mut found = BTreeSet::new();
    for (module, below) in &reached {
        if below.contains(module) {
            let circle = below.iter().filter(|other| reached[*other].contains(module)).map(|other| files.0[*other].file.clone());
            found.insert(circle.collect::<BTreeSet<_>>());
        }
    }
    found.into_iter().map(|circle| circle.into_iter().collect()).collect()
}

fn reach<'a>(arrows: &'a BTreeMap<&'a ModulePath, BTreeSet<ModulePath>>, from: &ModulePath) -> BTreeSet<&'a ModulePath> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<&ModulePath> = arrows[from].iter().collect();
    while let Some(module) = waiting.pop() {
        if reached.insert(module) {
            waiting.extend(&arrows[module]);
        }
    }
    reached
}

impl CrateFiles {
    fn read(root: &Path) -> CrateFiles {
        let mut files = CrateFiles(BTreeMap::new());
        files.add(Vec::new(), root.to_owned(), root.parent().unwrap());
        files
    }

    /// Reads a file, and the files of the modules that it declares, which are in `folder`.
    fn add(&mut self, module: ModulePath, file: PathBuf, folder: &Path) {
        let source = fs::read_to_string(&file).unwrap();
        let text = without_comments_and_strings(&source);
        for (name, path) in declared_modules(&source) {
            let mut child = module.clone();
            child.push(name.clone());
            let places = match path {
                Some(path) => vec![file.parent().unwrap().join(path)],
                None => vec![folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")],
            };
            let Some(place) = places.into_iter().find(|place| place.exists()) else { continue };
            let below = if place.ends_with("mod.rs") { place.parent().unwrap().to_owned() } else { place.with_extension("") };
            self.add(child, place, &below);
        }
        self.0.insert(module, SourceFile::parse(file, text));
    }

    /// The modules whose items a module's file uses.
    fn arrows(&self, module: &ModulePath) -> BTreeSet<ModulePath> {
        let file = &self.0[module];
        let mut named: Vec<Vec<String>> = file.imports.iter().map(|(path, _)| self.rooted(module, path)).collect();
        for words in paths(&file.text) {
            match words[0].as_str() {
                "crate" | "super" | "self" => named.push(words),
                first => {
                    // `keys::head` after `use super::keys`, or a child module's own `keys::head`.
                    let alias = file.imports.iter().find(|(_, name)| name == first).map(|(path, _)| self.rooted(module, path));
                    let child = self.0.contains_key(&[module.as_slice(), &[first.to_owned()]].concat());
                    if let Some(mut path) = alias {
                        path.extend_from_slice(&words[1..]);
                        named.push(path);
                    } else if child {
                        named.push([&["self".to_owned()], words.as_slice()].concat());
                    }
                }
            }
        }
        for (name, path) in &file.reexports {
            if words(&file.text).any(|word| word == name) {
                named.push(self.rooted(module, path));
            }
        }
        named.iter().filter_map(|path| self.defined_in(module, path, MAX_REEXPORTS)).filter(|found| found != module).collect()
    }

    /// A path of `use`; if it begins with a child module's name, `self` is put before it.
    fn rooted(&self, module: &ModulePath, path: &[String]) -> Vec<String> {
        let child = path.first().is_some_and(|first| self.0.contains_key(&[module.as_slice(), std::slice::from_ref(first)].concat()));
        if child { [&["self".to_owned()], path].concat() } else { path.to_vec() }
    }

    /// The module whose file defines the item that a path names; `None` if another crate defines it, or the path names a module.
    fn defined_in(&self, from: &ModulePath, path: &[String], depth: usize) -> Option<ModulePath> {
        let (mut at, mut rest) = match path.first()?.as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (from.clone(), &path[1..]),
            "super" => (from.clone(), path),
            _ => return None,
        };
        while rest.first().is_some_and(|word| word == "super") {
            at.pop()?;
            rest = &rest[1..];
        }
        while let Some(name) = rest.first() {
            at.push(name.clone());
            if !self.0.contains_key(&at) {
                at.pop();
                break;
            }
            rest = &rest[1..];
        }
        let item = rest.first()?;
        let file = self.0.get(&at)?;
        let depth = depth.checked_sub(1)?;
        let inside = file.reexports.get(item).or_else(|| file.imports.iter().find(|(_, name)| name == item).map(|(path, _)| path));
        if let Some(path) = inside {
            return self.defined_in(&at, &self.rooted(&at, path), depth);
        }
        let mut globs = file.globs.iter().filter_map(|path| {
            let inside = [&self.rooted(&at, path), std::slice::from_ref(item)].concat();
            self.defined_in(&at, &inside, depth).filter(|found| defines(&self.0[found].text, item))
        });
        globs.next().or(Some(at))
    }
}

impl SourceFile {
    fn parse(file: PathBuf, text: String) -> SourceFile {
        let (mut reexports, mut globs, mut imports, mut rest) = (BTreeMap::new(), Vec::new(), Vec::new(), String::new());
        let mut after = text.as_str();
        while let Some((before, public, tree, next)) = next_use(after) {
            rest.push_str(before);
            for (path, name) in use_tree(tree) {
                match (public, name == "*") {
                    (true, true) => globs.push(path[..path.len() - 1].to_vec()),
                    (true, false) => drop(reexports.insert(name, path)),
                    (false, _) => imports.push((path, name)),
                }
            }
            after = next;
        }
        rest.push_str(after);
        SourceFile { file, text: rest, reexports, globs, imports }
    }
}

/// The modules that a file declares without a body, each with its `#[path]` attribute.
fn declared_modules(source: &str) -> Vec<(String, Option<String>)> {
    let mut path = None;
    let mut found = Vec::new();
    for line in source.lines().map(str::trim) {
        if let Some(named) = line.strip_prefix("#[path = \"") {
            path = named.split('"').next().map(str::to_owned);
        }
        let declaration = line
            .strip_suffix(';')
            .and_then(|line| line.rsplit_once("mod "))
            .filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
        if let Some((_, name)) = declaration {
            found.push((name.to_owned(), path.take()));
        }
    }
    found
}

/// The code of a file without comments, the contents of string literals, and the unit tests at its end.
fn without_comments_and_strings(source: &str) -> String {
    let source = &source[..source.find("#[cfg(test)]\nmod tests {").unwrap_or(source.len())];
    let mut code = String::with_capacity(source.len());
    for line in source.lines() {
        let mut rest = line;
        loop {
            let (text, comment) = (rest.find('"'), rest.find("//"));
            match (text, comment) {
                (Some(text), comment) if comment.is_none_or(|comment| text < comment) => {
                    code.push_str(&rest[..text]);
                    let inside = &rest[text + 1..];
                    let end =
                        inside.char_indices().find(|(at, c)| *c == '"' && !escaped(inside, *at)).map_or(inside.len(), |(at, _)| at + 1);
                    rest = &inside[end.min(inside.len())..];
                }
                (_, Some(comment)) => {
                    code.push_str(&rest[..comment]);
                    break;
                }
                (_, None) => {
                    code.push_str(rest);
                    break;
                }
            }
        }
        code.push('\n');
    }
    code
}

fn escaped(text: &str, at: usize) -> bool {
    text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// The next `use` of a text: the text before it, whether it is public, its tree, and the text after it.
fn next_use(text: &str) -> Option<(&str, bool, &str, &str)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find("use ")?;
        let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let before = text[line..at].trim();
        let end = at + text[at..].find(';')?;
        if before.is_empty() || (before.starts_with("pub") && !before.contains(' ')) {
            return Some((&text[..line], !before.is_empty(), &text[at + 4..end], &text[end + 1..]));
        }
        from = at + 4;
    }
}

/// The paths of a `use` tree, each with the name that it brings into scope.
fn use_tree(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    if let Some((before, inside)) = tree.split_once('{') {
        let prefix: Vec<String> = segments(before);
        let inside = inside.trim_end().strip_suffix('}').unwrap_or(inside);
        let parts = split_outside_braces(inside);
        return parts.into_iter().flat_map(use_tree).map(|(path, name)| joined(&prefix, path, name)).collect();
    }
    if tree.is_empty() {
        return Vec::new();
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim().to_owned())));
    let path = segments(path);
    let name = alias.or_else(|| path.last().cloned()).unwrap_or_default();
    vec![(path, name)]
}

fn joined(prefix: &[String], path: Vec<String>, name: String) -> (Vec<String>, String) {
    if path == ["self"] {
        return (prefix.to_vec(), if name == "self" { prefix.last().cloned().unwrap_or_default() } else { name });
    }
    ([prefix, &path].concat(), name)
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn split_outside_braces(list: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[from..]);
    parts
}

/// All paths of at least two words in a code, for example `super::keys::head`.
fn paths(code: &str) -> Vec<Vec<String>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.split(|c: char| !is_word(c) && c != ':')
        .map(|path| path.trim_matches(':'))
        .filter(|path| path.contains("::"))
        .map(segments)
        .filter(|path| path.len() > 1)
        .collect()
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn defines(code: &str, item: &str) -> bool {
    ["struct", "enum", "fn", "const", "type", "trait", "static"].iter().any(|kind| {
        let definition = format!("{kind} {item}");
        code.match_indices(&definition).any(|(at, _)| !code[at + definition.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

#[test]
fn a_circle_is_found_and_a_re_export_alone_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir(folder.path().join("deep")).unwrap();
    write("lib.rs", "mod a;\nmod b;\nmod deep;\npub use a::A;\n");
    write("a.rs", "use crate::b::{self, B};\npub struct A(B);\n");
    write("b.rs", "// use crate::a::A;\npub struct B;\n");
    write("deep/mod.rs", "mod leaf;\npub use leaf::Leaf;\n");
    write("deep/leaf.rs", "pub struct Leaf(super::super::A);\n");
    let root = folder.path().join("lib.rs");
    assert_eq!(circles(&root), Vec::<Vec<PathBuf>>::new());
    // A circle of three files, through the re-exports of the root and of `deep`.
    write("b.rs", "pub struct B(crate::deep::Leaf);\n");
    assert_eq!(circles(&root), [["a.rs", "b.rs", "deep/leaf.rs"].map(|name| folder.path().join(name)).to_vec()]);
    // A parent whose own code uses its child, and a child that uses an item of its parent.
    write("b.rs", "pub struct B;\n");
    write("deep/mod.rs", "mod leaf;\npub use leaf::Leaf;\nconst MOST: usize = 1;\nfn one(_: Leaf) {}\n");
    write("deep/leaf.rs", "pub struct Leaf;\nconst TWO: usize = super::MOST + 1;\n");
    assert_eq!(circles(&root), [["deep/leaf.rs", "deep/mod.rs"].map(|name| folder.path().join(name)).to_vec()]);
}
