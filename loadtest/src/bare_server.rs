//! A bare tokio server for comparison: it sends fixed protocol messages, and forwards one device's write to all other sockets.
//!
//! It checks, decodes, stores and counts nothing. One task per socket reads, and the task that received a write sends the same bytes to all
//! sockets in turn. Its rate is the rate at which this machine can hand bytes to sockets.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use driftless_protocol::{Codec, Limits, ServerMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};

/// The dataset that its devices open.
pub const DATASET: &str = "bare";

const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

type Sockets = Arc<Mutex<Vec<OwnedWriteHalf>>>;

/// Prints its address and serves until it is killed. `value_bytes` is the length of the value that it sends.
pub fn serve(value_bytes: usize) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(accept(value_bytes)).map_err(|error| error.to_string())
}

async fn accept(value_bytes: usize) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let sockets = Sockets::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve_socket(stream, Arc::clone(&sockets), value_bytes));
    }
}

async fn serve_socket(stream: TcpStream, sockets: Sockets, value_bytes: usize) -> std::io::Result<()> {
    let (mut read, mut write) = stream.into_split();
    let mut buffer = [0; 4096];
    for response in [SWITCHING, &frame(&welcome()), &frame(&changes(0, value_bytes))] {
        if read.read(&mut buffer).await? == 0 {
            return Ok(());
        }
        write.write_all(response).await?;
    }
    let own = {
        let mut all = sockets.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(write);
        all.len() - 1
    };
    let delivery = frame(&changes(1, value_bytes));
    let written = frame(&ServerMessage::Written { id: 1, version: 2, records: Vec::new() });
    loop {
        let length = read.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        // Only a write is this long; everything shorter is a heartbeat or an acknowledgement.
        if length < value_bytes {
            continue;
        }
        let all = sockets.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, socket) in all.iter().enumerate() {
            // The socket buffers have room: each device has read the previous round.
            let _ = socket.try_write(if at == own { &written } else { &delivery });
        }
    }
}

fn frame(message: &ServerMessage) -> Vec<u8> {
    let payload = Codec::MsgPack.encode(message);
    let mut framed = Vec::new();
    crate::websocket::frame(crate::websocket::BINARY, &payload, &mut framed);
    // A server sends frames without a mask.
    let header = framed.len() - payload.len();
    framed[1] &= 0x7f;
    framed.drain(header - 4..header);
    framed
}

fn welcome() -> ServerMessage {
    ServerMessage::Welcome {
        identity: "local:bare".to_owned(),
        session: "bare".to_owned(),
        patch: 0,
        heartbeat_s: 3600,
        token_expires_in_s: 3600,
        limits: Limits::default(),
        merged: Vec::new(),
        linked: Vec::new(),
        push_lost: None,
        known_since_ms: None,
    }
}

fn changes(version: u64, value_bytes: usize) -> ServerMessage {
    let record = serde_json::json!({
        "key": "theme", "value": "x".repeat(value_bytes), "version": version, "modified_ms": 1_790_000_000_000_u64, "device": "device-0",
    });
    let changes = serde_json::json!({
        "type": "changes", "dataset": DATASET, "epoch": "0123456789abcdef0123456789abcdef", "from": version.saturating_sub(1), "to": version,
        "reset": false, "more": false, "records": if version > 0 { vec![record] } else { Vec::new() },
    });
    Codec::Json.decode_server(changes.to_string().as_bytes()).unwrap_or_else(|_| unreachable!("this is a message"))
}
