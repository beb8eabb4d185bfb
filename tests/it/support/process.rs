//! The real binary in its own process, for tests that kill it.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::wait_for;

/// A running `driftless dev` or `driftless serve`.
pub struct DriftlessProcess {
    child: Child,
    pub url: String,
    /// The log lines of `driftless serve`; `None` for `driftless dev`.
    log: Option<mpsc::UnboundedReceiver<String>>,
}

/// A started process that does not serve yet, and may never do.
pub struct StartingProcess(Child);

impl StartingProcess {
    /// Waits until the process has printed its address.
    pub async fn wait_until_serving(self) -> DriftlessProcess {
        let mut child = self.0;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = wait_for("the server's address", async {
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
        // The rest of its output is read too: a full pipe would block the server.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        DriftlessProcess { child, url, log: None }
    }

    /// Sends SIGKILL.
    pub async fn kill(mut self) {
        self.0.kill().await.unwrap();
    }
}

impl DriftlessProcess {
    /// Starts `driftless dev` on a data folder and waits until it serves. Port 0 in `listen` means any free port.
    pub async fn start(data: &Path, listen: &str, more: &[&str]) -> DriftlessProcess {
        DriftlessProcess::spawn(data, listen, more).wait_until_serving().await
    }

    /// Starts `driftless dev` without waiting.
    pub fn spawn(data: &Path, listen: &str, more: &[&str]) -> StartingProcess {
        let child = driftless()
            .args(["dev", "--listen", listen, "--data", data.to_str().unwrap(), "--store-cache-mib", "16"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        StartingProcess(child)
    }

    /// Starts `driftless serve` with a configuration file and waits until it serves.
    pub async fn serve(config: &Path) -> DriftlessProcess {
        let command = driftless()
            .args(["serve", "--config", config.to_str().unwrap(), "--log-format", "json", "--drain-wait-s", "0"])
            .args(["--admin-listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = command.unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = wait_for("the server's address", async {
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
                // Most tests never read the log.
                let _ = logged.send(line);
            }
        });
        DriftlessProcess { child, url: format!("http://{address}"), log: Some(log) }
    }

    /// Sends SIGHUP, which makes the server reload its credentials, and waits for a log line that contains `logged`.
    pub async fn reload(&mut self, logged: &str) {
        assert!(Command::new("kill").args(["-HUP", &self.pid().to_string()]).status().await.unwrap().success());
        let log = self.log.as_mut().unwrap();
        wait_for(logged, async { while !log.recv().await.expect("the server runs").contains(logged) {} }).await;
    }

    /// The next line of the log.
    pub async fn log_line(&mut self) -> String {
        self.log.as_mut().unwrap().recv().await.expect("the server runs")
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Sends SIGKILL: the server neither drains nor flushes nor sends a close code.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends SIGSTOP and returns when every thread is stopped or waits in a system call that cannot be interrupted.
    pub async fn freeze(&self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-STOP", &pid]).status().await.unwrap().success());
        let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|thread| thread.unwrap().path().join("stat"));
        // The file of a thread that has ended meanwhile is gone.
        let state = |path| std::fs::read_to_string(path).ok().and_then(|stat| stat.rsplit(") ").next()?.chars().next());
        wait_for("the server's standstill", async {
            while threads().filter_map(state).any(|state| "RS".contains(state)) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Sends SIGCONT.
    pub async fn thaw(&self) {
        assert!(Command::new("kill").args(["-CONT", &self.pid().to_string()]).status().await.unwrap().success());
    }

    /// Sends SIGTERM, waits for a clean exit, and returns the log.
    pub async fn terminate(mut self) -> String {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        let mut log = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            wait_for("the log's end", errors.read_to_string(&mut log)).await.unwrap();
        }
        assert!(wait_for("the server's end", self.child.wait()).await.unwrap().success(), "{log}");
        log
    }
}

/// The command `driftless`, without arguments.
pub fn driftless() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftless"));
    command.stdin(Stdio::null());
    command
}

/// Runs `driftless client ...` against a server, which must succeed, and returns what it printed.
pub async fn client_output(url: &str, arguments: &[&str]) -> String {
    let output = wait_for("the client's end", driftless().args(["client", "--url", url]).args(arguments).output()).await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
