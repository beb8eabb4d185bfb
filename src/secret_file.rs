//! A secret that stands in a file of its own, as container runtimes mount it: of the server, and of a command.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The largest file of a secret, in bytes: far more than any secret, and little memory if a wrong file is named.
const MAX_BYTES: u64 = 64 * 1024;

/// Reads a secret. Line ends at the end are cut, as most programs write one, and a byte order
/// mark before it, as some editors do. An error names the file and never quotes it.
pub fn read(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    let opened = File::open(file).and_then(|opened| opened.take(MAX_BYTES + 1).read_to_string(&mut text));
    let name = file.display();
    opened.map_err(|why| format!("{name} cannot be read: {why}"))?;
    let secret = text.strip_prefix('\u{feff}').unwrap_or(&text).trim_end_matches(['\r', '\n']);
    match secret.len() as u64 {
        0 => Err(format!("{name} is empty")),
        1..=MAX_BYTES => Ok(secret.to_owned()),
        _ => Err(format!("{name} has more than {MAX_BYTES} bytes")),
    }
}
