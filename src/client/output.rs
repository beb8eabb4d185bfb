//! Writes results to stdout, flushed line by line, and notes and progress to stderr.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use driftless_protocol::Codec;
use serde::Serialize;

use super::error::ClientError;
use super::render::Style;

/// The name that stands for stdin or stdout in the place of a file's.
pub(super) const STANDARD_STREAM: &str = "-";

/// Where a command writes its results, and in which style.
pub(super) struct CommandOutput {
    results: Box<dyn Write + Send>,
    pub(super) style: Style,
    json: bool,
}

impl CommandOutput {
    /// The process's stdout; in colour if it is a terminal and `NO_COLOR` is not set (<https://no-color.org>).
    pub(super) fn standard(json: bool) -> CommandOutput {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        CommandOutput { results: Box::new(io::stdout()), style: if colour { Style::Colour } else { Style::Plain }, json }
    }

    /// Another writer, in plain style.
    #[cfg(test)]
    pub(super) fn to(results: Box<dyn Write + Send>, json: bool) -> CommandOutput {
        CommandOutput { results, style: Style::Plain, json }
    }

    /// Prints a result: as one line of JSON, or as `print` does.
    pub(super) fn result(
        &mut self,
        result: &impl Serialize,
        print: impl FnOnce(&mut CommandOutput) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        match self.json {
            // The protocol's codec keeps every bit of a number.
            true => self.line(&String::from_utf8_lossy(&Codec::Json.encode(result))),
            false => print(self),
        }
    }

    /// Prints a line of the result.
    pub(super) fn line(&mut self, line: &str) -> Result<(), ClientError> {
        writeln!(self.results, "{line}").and_then(|()| self.results.flush()).map_err(|why| match why.kind() {
            ErrorKind::BrokenPipe => ClientError::OutputClosed,
            _ => ClientError::File(format!("cannot write to stdout: {why}")),
        })
    }
}

/// Creates a file that must not exist, for its owner alone: it will hold people's data.
pub fn create_private(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// Prints a note to stderr. A closed stderr is not an error, because no result depends on it.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A progress line on stderr, redrawn in place. If stderr is not a terminal only its last text is written.
pub struct ProgressLine {
    terminal: bool,
}

impl ProgressLine {
    pub fn start() -> ProgressLine {
        ProgressLine { terminal: io::stderr().is_terminal() }
    }

    pub fn show(&self, line: &str) {
        if self.terminal {
            // Returns to the first column and clears the line.
            let _ = write!(io::stderr(), "\r\x1b[K{line}").and_then(|()| io::stderr().flush());
        }
    }

    pub fn end(self, line: &str) {
        self.show("");
        note(line);
    }
}
