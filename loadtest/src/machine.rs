//! Measurements of processes and of the machine (CPU, memory, open files, disk space), read from Linux and not from the server's own metrics, and
//! the limit on open files. A value that cannot be read, because the process has ended or this one lacks the permission, is 0.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};

/// The limit on open files to ask for: a million sockets and some room. A higher hard limit is used as it is.
const MAX_FILES: u64 = 1_048_576;

/// Beginnings of the names of the kernel's slab caches that grow with each TCP socket; the data in its queues is elsewhere. `filp` and `dentry`
/// count other files too, so only the difference of two readings means something. The space in `TCP ` leaves out `TCPv6`.
const SOCKET_CACHES: [&str; 8] =
    ["TCP ", "sock_inode_cache", "tw_sock_TCP", "request_sock_TCP", "filp", "dentry", "eventpoll_epi", "eventpoll_pwq"];

/// A process, by its id.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    pub fn own() -> Process {
        Process(std::process::id())
    }

    /// CPU time, user and system, that all threads of the process have used so far.
    pub fn cpu(self) -> Duration {
        // proc_pid_stat(5): field 2, the name in parentheses, may hold blanks, so counting begins behind it; utime and stime are fields 14 and 15.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        let ticks =
            stat.rsplit(')').next().map(|rest| rest.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum());
        Duration::from_millis(ticks.unwrap_or(0) * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// Resident memory, in bytes.
    pub fn resident_bytes(self) -> u64 {
        self.status("VmRSS") * 1024
    }

    /// The most resident memory since [`Process::reset_peak`], or since the process began, in bytes.
    pub fn peak_bytes(self) -> u64 {
        self.status("VmHWM") * 1024
    }

    /// Begins a new measurement of [`Process::peak_bytes`]. It needs the rights of the process's user.
    pub fn reset_peak(self) {
        // proc_pid_clear_refs(5): 5 resets the peak to the current value. Without the rights, the peak stays that of the whole run.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.0), "5");
    }

    /// CPU time that all living threads have used so far, with a resolution of nanoseconds.
    pub fn all_threads_cpu(self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.0)).into_iter().flatten().flatten();
        // schedstat, as the kernel's sched-stats.rst has it: the first number is the time on a processor, in nanoseconds.
        let spent = |folder: PathBuf| std::fs::read_to_string(folder.join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok();
        Duration::from_nanos(threads.map(|thread| thread.path()).filter_map(spent).sum())
    }

    /// The number of threads.
    pub fn threads(self) -> u64 {
        self.status("Threads")
    }

    /// The number of open file descriptors, sockets included.
    pub fn files(self) -> u64 {
        std::fs::read_dir(format!("/proc/{}/fd", self.0)).map_or(0, |entries| entries.count() as u64)
    }

    fn status(self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        number(status.lines().find(|line| line.starts_with(name)))
    }
}

fn number(line: Option<&str>) -> u64 {
    line.and_then(|line| line.split_whitespace().nth(1)).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Gives the calling thread the lowest priority. A thread that plays an attacker has it: a real attacker's computer takes no time from the server's.
pub fn lower_thread_priority() {
    // On Linux a priority belongs to a thread, and no id means the calling one.
    let _ = setpriority_process(None, 19);
}

/// Kernel memory of all TCP sockets of the machine, in bytes: their objects and the data in their queues. A connection within this machine
/// counts twice, once for each end. Only root may usually read `/proc/slabinfo`; without it the objects are left out.
pub fn kernel_socket_bytes() -> u64 {
    let slabs = std::fs::read_to_string("/proc/slabinfo").unwrap_or_default();
    let objects = |line: &str| {
        let words: Vec<u64> = line.split_whitespace().skip(1).map_while(|word| word.parse().ok()).collect();
        // slabinfo(5): active objects, objects, object size. Free objects count too: their memory is allocated.
        words.get(1).zip(words.get(2)).map_or(0, |(objects, size)| objects * size)
    };
    let named = slabs.lines().filter(|line| SOCKET_CACHES.iter().any(|name| line.starts_with(name)));
    named.map(objects).sum::<u64>() + queued_pages() * 4096
}

/// Pages that the kernel has charged to TCP sockets, mostly for queued data.
fn queued_pages() -> u64 {
    let stat = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = stat.lines().find(|line| line.starts_with("TCP:"));
    line.and_then(|line| line.split_whitespace().skip_while(|word| *word != "mem").nth(1)).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Disk space of all files in a folder and the folders below it, in bytes.
pub fn folder_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let one = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => folder_bytes(&entry.path()),
        // `st_blocks` counts units of 512 bytes, whatever the file system's block size.
        Ok(data) => data.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(one).sum()
}

/// An allowance for open files of a process other than its sockets.
const OTHER_FILES: u64 = 64;

/// Raises the limit on open files as far as the system allows, for this process and the processes that it starts.
pub fn raise_file_limit() {
    let before = getrlimit(Resource::Nofile);
    let all = Rlimit { current: Some(MAX_FILES), maximum: Some(MAX_FILES) };
    // Only a privileged process may raise the hard limit. Every process may raise its soft limit to the hard limit.
    if before.maximum.is_none_or(|most| most >= MAX_FILES) || setrlimit(Resource::Nofile, all).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
    }
}

/// Checks that this process and the server that it starts, which inherits the limit, can each have this number of sockets open.
pub fn check_file_limit(sockets: u32) -> Result<(), String> {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if u64::from(sockets) + OTHER_FILES <= files {
        return Ok(());
    }
    let most = files.saturating_sub(OTHER_FILES);
    Err(format!(
        "the limit of {files} open files per process allows {most} sockets, not {sockets}; \
         raise the hard limit (ulimit -Hn NUMBER as root, /etc/security/limits.conf, or LimitNOFILE= in a systemd unit)"
    ))
}

/// One line on the machine: processors that this process may use, their model, memory, kernel.
pub fn describe() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).map_or("", |rest| rest.trim_start_matches(['\t', ' ', ':']));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let gib = number(memory.lines().next()) as f64 / f64::from(1 << 20);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores ({model}), {gib:.0} GiB, Linux {}", kernel.trim())
}

/// The git revision of the source folder now, with `-dirty` if files have changed; empty without git.
pub fn revision() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Cargo's target folder, for results and the server's data. The system's temporary folder may be in memory, and writes have to be real.
pub fn target_folder() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.parent().and_then(Path::parent).map_or_else(|| PathBuf::from("target"), Path::to_path_buf)
}
