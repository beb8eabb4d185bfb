//! A flame graph of the server's CPU time or memory during a workload, beside the report.
//!
//! Linux's `perf` samples CPU time, with the kernel's part if this process may see it. jemalloc samples memory in a server that was built
//! with the feature `heap-profile`; the flame graph shows the moment of the largest heap.

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

/// Samples per second and thread. An odd number, so that it does not run in step with the server's timers.
const SAMPLES_HZ: &str = "199";

/// How stacks are recorded, and the bytes of stack per sample: the release build has no frame pointers.
const CALL_GRAPH: &str = "dwarf,16384";

/// jemalloc takes one sample per 2 to the power of this many allocated bytes.
const HEAP_SAMPLE_LOG2: u32 = 17;

/// A `perf` that may not attach to the server ends within this time.
const ATTACH_TIMEOUT: Duration = Duration::from_millis(500);

/// What a profile measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileKind {
    /// CPU time. Needs `perf`.
    Cpu,
    /// Heap memory. Needs `jeprof`, which comes with jemalloc.
    Heap,
}

/// A profile that is being recorded.
pub struct Profile {
    kind: ProfileKind,
    folder: PathBuf,
    binary: PathBuf,
    perf: Option<Child>,
}

impl ProfileKind {
    /// The environment variables that the server must start with.
    pub fn environment(self, folder: &Path) -> Vec<(&'static str, String)> {
        let dumps = || format!("prof:true,prof_gdump:true,lg_prof_sample:{HEAP_SAMPLE_LOG2},prof_prefix:{}", heap(folder).display());
        if self == ProfileKind::Heap { vec![("_RJEM_MALLOC_CONF", dumps())] } else { Vec::new() }
    }
}

impl Profile {
    /// Starts recording a running server. `binary` is the server's binary, if the load test started it. Temporary files go into `folder`.
    pub fn begin(kind: ProfileKind, server: Option<Process>, binary: Option<&Path>, folder: &Path) -> Result<Profile, String> {
        let perf = match kind {
            ProfileKind::Cpu => Some(record(server.ok_or("a CPU profile needs the server's process: name it with --pid")?, folder)?),
            ProfileKind::Heap if binary.is_none() => return Err("a heap profile needs a server that the load test starts".to_owned()),
            ProfileKind::Heap => None,
        };
        Ok(Profile { kind, folder: folder.to_owned(), binary: binary.unwrap_or(Path::new("")).to_owned(), perf })
    }

    /// The name of the kind.
    pub fn name(&self) -> &'static str {
        if self.kind == ProfileKind::Cpu { "cpu" } else { "heap" }
    }

    /// Ends the recording, and draws the flame graph.
    pub fn draw(mut self, title: &str, picture: &Path) -> Result<(), String> {
        let mut folded = Vec::new();
        match self.kind {
            ProfileKind::Cpu => {
                self.stop()?;
                let mut script = Command::new("perf");
                script.args(["script", "--no-inline", "--input"]).arg(samples(&self.folder));
                let fold = |lines: BufReader<_>| perf::Folder::default().collapse(lines, &mut folded);
                read_output(script, fold)?;
            }
            ProfileKind::Heap => {
                let mut collapse = Command::new("jeprof");
                collapse.arg("--collapsed").arg(&self.binary).arg(newest(&self.folder)?);
                read_output(collapse, |mut lines: BufReader<_>| std::io::copy(&mut lines, &mut folded))?;
            }
        }
        let mut options = Options::default();
        options.title = title.to_owned();
        options.count_name = if self.kind == ProfileKind::Cpu { "samples" } else { "bytes" }.to_owned();
        let file = File::create(picture).map_err(|error| format!("cannot write {}: {error}", picture.display()))?;
        flamegraph::from_reader(&mut options, folded.as_slice(), file).map_err(|error| format!("cannot draw the flame graph: {error}"))
    }

    fn stop(&mut self) -> Result<(), String> {
        let Some(mut perf) = self.perf.take() else { return Ok(()) };
        let pid = i32::try_from(perf.id()).ok().and_then(Pid::from_raw).ok_or("perf has no process id")?;
        // perf may have ended already, with the process that it samples.
        let _ = kill_process(pid, Signal::INT);
        perf.wait().map(drop).map_err(|error| format!("cannot wait for perf: {error}"))
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn record(server: Process, folder: &Path) -> Result<Child, String> {
    let mut record = Command::new("perf");
    record.args(["record", "--freq", SAMPLES_HZ, "--call-graph", CALL_GRAPH, "--pid", &server.0.to_string(), "--output"]);
    // perf prints its own errors.
    record.arg(samples(folder)).stdin(Stdio::null()).stdout(Stdio::null());
    let mut perf = record.spawn().map_err(|error| not_started("perf", &error))?;
    let began = Instant::now();
    loop {
        match perf.try_wait().map_err(|error| format!("cannot wait for perf: {error}"))? {
            Some(status) => return Err(format!("perf cannot attach to the server: {status}")),
            None if began.elapsed() > ATTACH_TIMEOUT => return Ok(perf),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn not_started(name: &str, error: &std::io::Error) -> String {
    format!("cannot start {name}: {error}; Debian has perf in linux-perf and jeprof in libjemalloc-dev")
}

fn samples(folder: &Path) -> PathBuf {
    folder.join("perf.data")
}

fn heap(folder: &Path) -> PathBuf {
    folder.join("heap")
}

/// The newest heap profile: jemalloc writes one at each new maximum.
fn newest(folder: &Path) -> Result<PathBuf, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
    let dumps = entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "heap"));
    let written = |path: &PathBuf| path.metadata().and_then(|data| data.modified()).ok();
    dumps.max_by_key(written).ok_or_else(|| "the server wrote no heap profile: build it with the feature `heap-profile`".to_owned())
}

/// Runs a program and passes its output to `read`.
fn read_output<T>(mut command: Command, read: impl FnOnce(BufReader<ChildStdout>) -> std::io::Result<T>) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.map_err(|error| not_started(&name, &error))?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("the program has no output")?);
    // If there is no output at all, the exit status says why.
    let taken = if lines.fill_buf().is_ok_and(|begin| begin.is_empty()) { Ok(None) } else { read(lines).map(Some) };
    let status = child.wait().map_err(|error| format!("cannot wait for {name}: {error}"))?;
    match taken {
        Ok(Some(_)) if status.success() => Ok(()),
        Ok(_) => Err(format!("{name} printed nothing: {status}")),
        Err(error) => Err(format!("cannot read the output of {name}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_heap_profile_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(newest(folder.path()).expect_err("there is none").contains("heap-profile"));
        for (name, age) in [("heap.7.0.u0.heap", 20), ("heap.7.1.u1.heap", 10), ("perf.data", 0)] {
            let file = File::create(folder.path().join(name)).expect("is made");
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).expect("is dated");
        }
        assert_eq!(newest(folder.path()).expect("is found"), folder.path().join("heap.7.1.u1.heap"));
    }

    #[test]
    fn a_program_that_prints_nothing_or_fails_is_named_in_the_error() {
        let mut text = String::new();
        let mut echo = Command::new("echo");
        echo.arg("a;b 1");
        read_output(echo, |mut lines| std::io::Read::read_to_string(&mut lines, &mut text)).expect("is read");
        assert_eq!(text, "a;b 1\n");
        let nothing = |_| -> std::io::Result<()> { unreachable!("there is no output") };
        assert!(read_output(Command::new("true"), nothing).expect_err("nothing").contains("true printed nothing"));
        let mut fails = Command::new("sh");
        fails.args(["-c", "echo half; exit 3"]);
        assert!(read_output(fails, |_| Ok(())).expect_err("fails").contains("exit status: 3"));
        assert!(read_output(Command::new("/no/such/program"), nothing).expect_err("is not there").contains("cannot start"));
    }
}
