//! `driftless serve` as a child process whose output and signals a test controls.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use super::{driftless, wait_for};

/// A server whose log is read line by line.
pub struct ServingChild {
    pub child: Child,
    pub log: Lines<BufReader<ChildStderr>>,
    /// The port for devices.
    pub address: SocketAddr,
    /// The port for operators.
    pub admin: SocketAddr,
}

/// `driftless serve` with a pool that accepts the tokens of `driftless dev`, with free ports for devices and for operators unless
/// `more` has others. The log is JSON.
pub fn serve_command(folder: &Path, more: &[&str]) -> Command {
    let config = folder.join("driftless.toml");
    let issuer = "issuer = \"driftless-dev\"\naudience = [\"demo\"]\nsecret = \"a secret for nobody but this very test\"\n";
    std::fs::write(&config, format!("[[pools.demo.issuers]]\n{issuer}")).unwrap();
    let mut command = driftless();
    command.args(["serve", "--config", config.to_str().unwrap()]);
    if !more.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.args(["--data", folder.join("data").to_str().unwrap(), "--log-format", "json"]).args(more);
    command.stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// A token that such a server accepts.
pub fn serve_token(subject: &str) -> String {
    driftless::dev::mint_for("a secret for nobody but this very test", "driftless-dev", "demo", subject, 3600).unwrap()
}

/// Sends a signal, such as `-TERM`.
pub async fn send_signal(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().unwrap().to_string()]).status().await.unwrap().success());
}

/// The value of a field of a JSON log line.
pub fn log_field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_once(&format!("\"{name}\":\""))?.1.split('"').next()
}

impl ServingChild {
    /// Starts a server and waits until it serves.
    pub async fn start(folder: &Path, more: &[&str]) -> ServingChild {
        ServingChild::of_command(serve_command(folder, more)).await
    }

    /// The same for a process that may open so many files.
    pub async fn start_with_files(folder: &Path, files: u32, more: &[&str]) -> ServingChild {
        let serve = serve_command(folder, more);
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]);
        limited.arg(serve.as_std().get_program()).args(serve.as_std().get_args());
        limited.stderr(Stdio::piped()).kill_on_drop(true);
        ServingChild::of_command(limited).await
    }

    /// Runs a command of [`serve_command`] and waits until it serves.
    pub async fn of_command(mut command: Command) -> ServingChild {
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let started = async {
            loop {
                let line = log.next_line().await.unwrap().expect("the server ended before it served");
                if line.contains("server started") {
                    return line;
                }
            }
        };
        let line = wait_for("the server's start", started).await;
        let address = |name| log_field(&line, name).unwrap().parse().unwrap();
        ServingChild { child, address: address("address"), admin: address("admin"), log }
    }

    /// Waits for a log line that contains this text.
    pub async fn wait_for_log(&mut self, text: &str) -> String {
        let found = async {
            loop {
                let line = self.log.next_line().await.unwrap().unwrap_or_else(|| panic!("the log ended without: {text}"));
                if line.contains(text) {
                    return line;
                }
            }
        };
        wait_for(text, found).await
    }

    pub async fn signal(&self, signal: &str) {
        send_signal(signal, &self.child).await;
    }

    /// Waits for the end of the process, and returns its status and the rest of the log.
    pub async fn end(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        let status = async {
            while let Some(line) = self.log.next_line().await.unwrap() {
                rest += &line;
                rest.push('\n');
            }
            self.child.wait().await.unwrap()
        };
        let status = wait_for("the server's end", status).await;
        (status, rest)
    }
}
