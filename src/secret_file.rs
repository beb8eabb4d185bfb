//! A secret that stands in a file of its own, as container runtimes mount it: of the server, and of a command.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The largest file of a secret, in bytes: far more than any secret, and little memory if a wrong file is named.
const MAX_BYTES: u64 = 64 * 1024;

/// Reads a secret. Line ends at the end are cut, as most programs write one, and a byte order mark before it, as some editors do. A larger file
/// is an error, and never cut: the secret would be another one. An error names the file and never quotes it.
pub fn read(file: &Path) -> Result<String, String> {
    let mut text = Vec::new();
    let name = file.display();
    let opened = File::open(file).and_then(|opened| opened.take(MAX_BYTES + 1).read_to_end(&mut text));
    opened.map_err(|why| format!("{name} cannot be read: {why}"))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("{name} has more than {MAX_BYTES} bytes"));
    }
    let text = String::from_utf8(text).map_err(|_| format!("{name} is not UTF-8"))?;
    match text.strip_prefix('\u{feff}').unwrap_or(&text).trim_end_matches(['\r', '\n']) {
        "" => Err(format!("{name} is empty")),
        secret => Ok(secret.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        let read_of = |bytes: &[u8]| {
            std::fs::write(&file, bytes).expect("writes");
            read(&file)
        };
        for end in ["", "\n", "\r\n", "\n\n"] {
            assert_eq!(read_of(format!("planted secret {end}").as_bytes()).as_deref(), Ok("planted secret "), "{end:?}");
        }
        let longest = "s".repeat(MAX_BYTES as usize);
        assert_eq!(read_of(longest.as_bytes()), Ok(longest.clone()));
        // What follows the bound is never dropped without a word, whether or not a line ends there.
        for larger in [format!("{longest}s"), format!("{longest}\nplanted"), format!("{longest}\n"), "\n".repeat(MAX_BYTES as usize + 1)] {
            let error = read_of(larger.as_bytes()).expect_err("too large");
            assert!(error.contains("more than 65536 bytes") && error.contains("secret") && !error.contains("planted"), "{error}");
        }
        assert!(read_of(b"\n").expect_err("empty").contains("is empty"));
        assert!(read_of(b"planted\xff").is_err_and(|error| error.contains("UTF-8") && !error.contains("planted")));
        assert!(read(&folder.path().join("none")).is_err_and(|error| error.contains("cannot be read")));
    }
}
