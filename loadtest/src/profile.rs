//! Where the server's time or memory goes while a story is told, as a flame graph beside the report.
//!
//! Time is sampled by Linux's `perf`, with the kernel's part if this process may see it. Memory is what jemalloc says of a server that
//! was built to ask where each allocation comes from: of the moment when it had the most.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use inferno::collapse::{Collapse, perf};
use inferno::flamegraph::{self, Options};
use rustix::process::{Pid, Signal, kill_process};

use crate::machine::Process;

/// Samples of each thread a second of its time: not a divisor of anything that the server does by the clock.
const SAMPLES_HZ: &str = "199";

/// With the bytes of stack that are kept of each: the release build has no frame pointers.
const STACKS: &str = "dwarf,16384";

/// One sample for so many bytes that are allocated, as a power of two.
const HEAP_SAMPLE: u32 = 17;

/// One that may not look at the server ends within this.
const PATIENCE: Duration = Duration::from_millis(500);

/// Of what a profile is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Of {
    /// The processor's time. Needs `perf`.
    Cpu,
    /// Memory. Needs `jeprof`, which comes with jemalloc.
    Heap,
}

/// A profile that is being made.
pub struct Profile {
    of: Of,
    folder: PathBuf,
    binary: PathBuf,
    perf: Option<Child>,
}

impl Of {
    /// What the server's environment must say before it starts.
    pub fn environment(self, folder: &Path) -> Vec<(&'static str, String)> {
        let dumps = || format!("prof:true,prof_gdump:true,lg_prof_sample:{HEAP_SAMPLE},prof_prefix:{}", heap(folder).display());
        if self == Of::Heap { vec![("_RJEM_MALLOC_CONF", dumps())] } else { Vec::new() }
    }
}

impl Profile {
    /// Begins with a server that runs; `binary` is its program, if it was started here. What is needed meanwhile is kept in the folder.
    pub fn begin(of: Of, server: Option<Process>, binary: Option<&Path>, folder: &Path) -> Result<Profile, String> {
        let perf = match of {
            Of::Cpu => Some(record(server.ok_or("a profile is of a process: name it with --pid")?, folder)?),
            Of::Heap if binary.is_none() => return Err("a profile of memory is of a server that is started here".to_owned()),
            Of::Heap => None,
        };
        Ok(Profile { of, folder: folder.to_owned(), binary: binary.unwrap_or(Path::new("")).to_owned(), perf })
    }

    /// Of what it is, in a word.
    pub fn of(&self) -> &'static str {
        if self.of == Of::Cpu { "cpu" } else { "heap" }
    }

    /// Ends it, and draws it.
    pub fn draw(mut self, title: &str, picture: &Path) -> Result<(), String> {
        let mut folded = Vec::new();
        match self.of {
            Of::Cpu => {
                self.stop()?;
                let mut script = Command::new("perf");
                script.args(["script", "--no-inline", "--input"]).arg(samples(&self.folder));
                let fold = |lines: BufReader<_>| perf::Folder::default().collapse(lines, &mut folded);
                said(script, fold)?;
            }
            Of::Heap => {
                let mut collapse = Command::new("jeprof");
                collapse.arg("--collapsed").arg(&self.binary).arg(newest(&self.folder)?);
                said(collapse, |mut lines: BufReader<_>| std::io::copy(&mut lines, &mut folded))?;
            }
        }
        let mut options = Options::default();
        options.title = title.to_owned();
        options.count_name = if self.of == Of::Cpu { "samples" } else { "bytes" }.to_owned();
        let file = File::create(picture).map_err(|error| format!("{} cannot be written: {error}", picture.display()))?;
        flamegraph::from_reader(&mut options, folded.as_slice(), file).map_err(|error| format!("nothing to draw: {error}"))
    }

    fn stop(&mut self) -> Result<(), String> {
        let Some(mut perf) = self.perf.take() else { return Ok(()) };
        let pid = i32::try_from(perf.id()).ok().and_then(Pid::from_raw).ok_or("perf has no process id")?;
        // It ends by itself with the process that it looks at.
        let _ = kill_process(pid, Signal::INT);
        perf.wait().map(drop).map_err(|error| format!("perf cannot be waited for: {error}"))
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn record(server: Process, folder: &Path) -> Result<Child, String> {
    let mut record = Command::new("perf");
    record.args(["record", "--freq", SAMPLES_HZ, "--call-graph", STACKS, "--pid", &server.0.to_string(), "--output"]);
    // What keeps it from looking it says itself.
    record.arg(samples(folder)).stdin(Stdio::null()).stdout(Stdio::null());
    let mut perf = record.spawn().map_err(|error| not_started("perf", &error))?;
    let begun = Instant::now();
    loop {
        match perf.try_wait().map_err(|error| format!("perf cannot be waited for: {error}"))? {
            Some(status) => return Err(format!("perf does not look at the server: {status}")),
            None if begun.elapsed() > PATIENCE => return Ok(perf),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn not_started(name: &str, error: &std::io::Error) -> String {
    format!("{name} cannot be started: {error}; Debian has perf in linux-perf, jeprof in libjemalloc-dev")
}

fn samples(folder: &Path) -> PathBuf {
    folder.join("perf.data")
}

fn heap(folder: &Path) -> PathBuf {
    folder.join("heap")
}

/// What jemalloc wrote when the memory had grown for the last time.
fn newest(folder: &Path) -> Result<PathBuf, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
    let dumps = entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "heap"));
    let written = |path: &PathBuf| path.metadata().and_then(|data| data.modified()).ok();
    dumps.max_by_key(written).ok_or_else(|| "the server wrote no heap profile: it must be built with the feature `heap-profile`".to_owned())
}

/// Hands on what a program prints.
fn said<T>(mut command: Command, take: impl FnOnce(BufReader<ChildStdout>) -> std::io::Result<T>) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.map_err(|error| not_started(&name, &error))?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("it has no output")?);
    // Nothing at all is told by the exit code.
    let taken = if lines.fill_buf().is_ok_and(|begin| begin.is_empty()) { Ok(None) } else { take(lines).map(Some) };
    let status = child.wait().map_err(|error| format!("{name} cannot be waited for: {error}"))?;
    match taken {
        Ok(Some(_)) if status.success() => Ok(()),
        Ok(_) => Err(format!("{name} has found nothing: {status}")),
        Err(error) => Err(format!("what {name} says cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_the_servers_accounts_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(newest(folder.path()).expect_err("there is none").contains("heap-profile"));
        for (name, age) in [("heap.7.0.u0.heap", 20), ("heap.7.1.u1.heap", 10), ("perf.data", 0)] {
            let file = File::create(folder.path().join(name)).expect("is made");
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).expect("is dated");
        }
        assert_eq!(newest(folder.path()).expect("is found"), folder.path().join("heap.7.1.u1.heap"));
    }

    #[test]
    fn a_program_that_says_nothing_or_fails_is_told_by_its_name() {
        let mut text = String::new();
        let mut echo = Command::new("echo");
        echo.arg("a;b 1");
        said(echo, |mut lines| std::io::Read::read_to_string(&mut lines, &mut text)).expect("is read");
        assert_eq!(text, "a;b 1\n");
        let nothing = |_| -> std::io::Result<()> { unreachable!("it says nothing") };
        assert!(said(Command::new("true"), nothing).expect_err("nothing").contains("true has found nothing"));
        let mut fails = Command::new("sh");
        fails.args(["-c", "echo half; exit 3"]);
        assert!(said(fails, |_| Ok(())).expect_err("fails").contains("exit status: 3"));
        assert!(said(Command::new("/no/such/program"), nothing).expect_err("is not there").contains("cannot be started"));
    }
}
