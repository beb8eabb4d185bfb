//! The real binary in a process of its own, for stories in which it dies.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::soon;

/// A running `driftless dev`.
pub struct Binary {
    child: Child,
    pub url: String,
    /// What `driftless serve` logs.
    log: Option<mpsc::UnboundedReceiver<String>>,
}

/// One that does not serve yet, or never will.
pub struct Starting(Child);

impl Starting {
    /// Waits until it serves.
    pub async fn serves(self) -> Binary {
        let mut child = self.0;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = soon("the server's address", async {
            loop {
                let Some(line) = lines.next_line().await.unwrap() else {
                    let mut log = String::new();
                    child.stderr.take().unwrap().read_to_string(&mut log).await.unwrap();
                    panic!("the server ended before it served: {log}");
                };
                if let Some(at) = line.find("http://") {
                    return line[at..].trim_end_matches("/demo/").to_owned();
                }
            }
        })
        .await;
        // Whatever else it prints must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Binary { child, url, log: None }
    }

    /// SIGKILL.
    pub async fn kill(mut self) {
        self.0.kill().await.unwrap();
    }
}

impl Binary {
    /// Starts it on a folder, on a free port or the one of before, and waits until it serves.
    pub async fn start(data: &Path, listen: &str, more: &[&str]) -> Binary {
        Binary::begin(data, listen, more).serves().await
    }

    /// Starts it and waits for nothing.
    pub fn begin(data: &Path, listen: &str, more: &[&str]) -> Starting {
        let child = driftless()
            .args(["dev", "--listen", listen, "--data", data.to_str().unwrap(), "--store-cache-mib", "16"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Starting(child)
    }

    /// Starts `driftless serve` with a configuration, and waits until it serves.
    pub async fn serve(config: &Path) -> Binary {
        let command = driftless()
            .args(["serve", "--config", config.to_str().unwrap(), "--log-format", "json"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = command.unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = soon("the server's address", async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the server ended before it served");
                if let Some((_, rest)) = line.split_once("\"address\":\"") {
                    return rest.split('"').next().unwrap().to_owned();
                }
            }
        })
        .await;
        let (logged, log) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                // A story that does not look does not care.
                let _ = logged.send(line);
            }
        });
        Binary { child, url: format!("http://{address}"), log: Some(log) }
    }

    /// SIGHUP: it reads its credentials again. Waits until it says this of it.
    pub async fn hang_up(&mut self, says: &str) {
        assert!(Command::new("kill").args(["-HUP", &self.pid().to_string()]).status().await.unwrap().success());
        let log = self.log.as_mut().unwrap();
        soon(says, async { while !log.recv().await.expect("it runs").contains(says) {} }).await;
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// SIGKILL: no drain, no flush, no goodbye.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGSTOP: returns when no thread of it does anything any more, but for what the kernel is doing for one.
    pub async fn freeze(&self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-STOP", &pid]).status().await.unwrap().success());
        let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|thread| thread.unwrap().path().join("stat"));
        // A thread that ended meanwhile has no state.
        let state = |path| std::fs::read_to_string(path).ok().and_then(|stat| stat.rsplit(") ").next()?.chars().next());
        soon("the server's standstill", async {
            while threads().filter_map(state).any(|state| "RS".contains(state)) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// SIGTERM, and what it wrote to its log.
    pub async fn terminate(mut self) -> String {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        let mut log = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            soon("the log's end", errors.read_to_string(&mut log)).await.unwrap();
        }
        assert!(soon("the server's end", self.child.wait()).await.unwrap().success(), "{log}");
        log
    }
}

/// The command itself.
pub fn driftless() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftless"));
    command.stdin(Stdio::null());
    command
}

/// Runs `driftless client ...` against a server and returns what it printed.
pub async fn client(url: &str, arguments: &[&str]) -> String {
    let output = soon("the client's end", driftless().args(["client", "--url", url]).args(arguments).output()).await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
