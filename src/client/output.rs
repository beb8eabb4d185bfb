//! Where lines go: results to stdout, flushed one by one, and notes to stderr.

use std::io::{self, ErrorKind, IsTerminal, Write};

use super::Failure;
use super::render::Style;

/// The two streams of a command, and whether a person looks at them.
pub(super) struct Output {
    results: Box<dyn Write + Send>,
    /// How results are drawn.
    pub(super) style: Style,
}

impl Output {
    /// Those of the process. Colour needs a terminal and no `NO_COLOR` (<https://no-color.org>).
    pub(super) fn standard() -> Output {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Output { results: Box::new(io::stdout()), style: if colour { Style::Colour } else { Style::Plain } }
    }

    /// Plain results to somewhere else.
    #[cfg(test)]
    pub(super) fn to(results: Box<dyn Write + Send>) -> Output {
        Output { results, style: Style::Plain }
    }

    /// Prints a line of the result.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.results, "{line}").and_then(|()| self.results.flush()).map_err(|why| match why.kind() {
            ErrorKind::BrokenPipe => Failure::NobodyReads,
            _ => Failure::File(format!("cannot write to stdout: {why}")),
        })
    }
}

/// Tells the person at the terminal how it goes. Nothing depends on it, so a closed stderr is no error.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// One line on stderr that is drawn over and over; without a terminal only its end is written.
pub struct Progress {
    terminal: bool,
}

impl Progress {
    /// For this process.
    pub fn start() -> Progress {
        Progress { terminal: io::stderr().is_terminal() }
    }

    /// How far it is.
    pub fn show(&self, line: &str) {
        if self.terminal {
            // Back to the first column, and what was there is cleared.
            let _ = write!(io::stderr(), "\r\x1b[K{line}").and_then(|()| io::stderr().flush());
        }
    }

    /// How it ended.
    pub fn end(self, line: &str) {
        self.show("");
        note(line);
    }
}
