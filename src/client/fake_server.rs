//! A small server for the tests of the command: one identity, in memory, and only the messages that the command uses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use driftless_protocol::{Change, ClientMessage, Codec, Content, DatasetInfo, DatasetName, DeviceId, Epoch, Key, Limits, Op, Record};
use driftless_protocol::{RefusalCode, ServerMessage};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

type Datasets = BTreeMap<DatasetName, (u64, BTreeMap<Key, Record>)>;

#[derive(Clone)]
pub(super) struct FakeServer {
    pub(super) url: String,
    datasets: Arc<Mutex<Datasets>>,
    changed: watch::Sender<u64>,
}

impl FakeServer {
    pub(super) async fn start() -> FakeServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let fake = FakeServer { url, datasets: Arc::default(), changed: watch::Sender::new(0) };
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        fake
    }

    /// The version of a dataset: how many patches it has had.
    pub(super) fn version(&self, dataset: &DatasetName) -> u64 {
        self.lock().get(dataset).map_or(0, |(version, _)| *version)
    }

    async fn serve(self, stream: TcpStream) {
        let mut codec = Codec::Json;
        #[expect(clippy::result_large_err, reason = "the signature of the callback")]
        let choose = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            let offered = request.headers()[SEC_WEBSOCKET_PROTOCOL].to_str().expect("text");
            codec = Codec::choose(offered).expect("a subprotocol");
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, codec.subprotocol().parse().expect("a header"));
            Ok(response)
        };
        let mut socket = accept_hdr_async(stream, choose).await.expect("a WebSocket");
        let mut device = DeviceId::new("nobody").expect("a device");
        let mut cursors: BTreeMap<DatasetName, u64> = BTreeMap::new();
        let mut changed = self.changed.subscribe();
        loop {
            let answers = tokio::select! {
                frame = socket.next() => match frame {
                    Some(Ok(Message::Binary(bytes))) => self.answer(&mut device, &mut cursors, codec.decode_client(&bytes).expect("a message")),
                    Some(Ok(Message::Text(text))) => self.answer(&mut device, &mut cursors, codec.decode_client(text.as_bytes()).expect("a message")),
                    Some(Ok(_)) => Vec::new(),
                    Some(Err(_)) | None => return,
                },
                _ = changed.changed() => cursors.iter_mut().filter_map(|(dataset, cursor)| self.changes(dataset, cursor, true)).collect(),
            };
            for answer in answers {
                if send(&mut socket, codec, &answer).await.is_none() {
                    return;
                }
            }
        }
    }

    fn answer(&self, device: &mut DeviceId, cursors: &mut BTreeMap<DatasetName, u64>, message: ClientMessage) -> Vec<ServerMessage> {
        match message {
            ClientMessage::Hello { token, .. } if token != "token of alice" => {
                let (reason, message) = ("token_refused".to_owned(), Some("the token is not alice's".to_owned()));
                vec![ServerMessage::Bye { code: 4003, reason, message, reconnect_after_ms: None }]
            }
            ClientMessage::Hello { device: name, .. } => {
                *device = name;
                let (identity, session, limits) = ("local:alice".to_owned(), "s".to_owned(), Limits::default());
                vec![ServerMessage::Welcome {
                    identity,
                    session,
                    patch: 0,
                    heartbeat_s: 60,
                    token_expires_in_s: 60,
                    limits,
                    merged: Vec::new(),
                    linked: Vec::new(),
                    push_lost: None,
                    known_since_ms: Some(1_790_000_000_000),
                }]
            }
            ClientMessage::Open { dataset, .. } => {
                let mut cursor = 0;
                let page = self.changes(&dataset, &mut cursor, false);
                cursors.insert(dataset, cursor);
                page.into_iter().collect()
            }
            ClientMessage::List => {
                let info = |(dataset, (version, records)): (&DatasetName, &(u64, BTreeMap<Key, Record>))| DatasetInfo {
                    dataset: dataset.clone(),
                    epoch: epoch(),
                    version: *version,
                    records: records.len() as u64,
                    bytes: 0,
                };
                vec![ServerMessage::Datasets { datasets: self.lock().iter().map(info).collect() }]
            }
            ClientMessage::Write { id, dataset, changes, .. } => vec![self.write(id, dataset, changes, device)],
            ClientMessage::Renew { .. }
            | ClientMessage::Close { .. }
            | ClientMessage::Ack { .. }
            | ClientMessage::Register(_)
            | ClientMessage::Unregister
            | ClientMessage::Ping => Vec::new(),
        }
    }

    /// The changes after a cursor. `None` for a live session whose dataset has not changed.
    fn changes(&self, dataset: &DatasetName, cursor: &mut u64, live: bool) -> Option<ServerMessage> {
        let (to, records) = self.lock().get(dataset).cloned().unwrap_or_default();
        if live && to == *cursor {
            return None;
        }
        let from = std::mem::replace(cursor, to);
        let records = records.into_values().filter(|record| record.version > from).collect();
        Some(ServerMessage::Changes {
            dataset: dataset.clone(),
            epoch: epoch(),
            from,
            to,
            reset: false,
            shared: None,
            more: false,
            fresh_until: None,
            records,
        })
    }

    fn write(&self, id: u64, dataset: DatasetName, changes: Vec<Change>, device: &DeviceId) -> ServerMessage {
        let mut datasets = self.lock();
        let (version, records) = datasets.entry(dataset.clone()).or_default();
        let is_conflict =
            |change: &&Change| change.base.is_some_and(|base| records.get(&change.key).is_some_and(|record| record.version > base));
        let conflicts: Vec<Record> = changes.iter().filter(is_conflict).map(|change| records[&change.key].clone()).collect();
        if !conflicts.is_empty() {
            return ServerMessage::Conflict { id, dataset, records: conflicts };
        }
        if changes.iter().any(|change| change.key.as_str() == "forbidden") {
            let (code, message) = (RefusalCode::DatasetFull, "full".to_owned());
            return ServerMessage::Refused { id: Some(id), dataset: None, code, message };
        }
        *version += 1;
        let mut results = Vec::new();
        for Change { key, op, value, .. } in changes {
            let content = match (op, value, records.get(&key).and_then(|record| record.content.value())) {
                (Op::Remove, ..) => Content::Removed,
                (Op::Add, Some(value), Some(current)) => {
                    let (current, added) = (current.number().expect("a number"), value.number().expect("a number"));
                    Content::Value(current.sum(added).expect("finite").into())
                }
                (_, value, _) => Content::Value(value.expect("an operand")),
            };
            let record =
                Record { key: key.clone(), content, version: *version, modified_ms: super::read::now_ms(), device: device.clone() };
            if op == Op::Add {
                results.push(record.clone());
            }
            records.insert(key, record);
        }
        self.changed.send_modify(|count| *count += 1);
        ServerMessage::Written { id, version: *version, records: results }
    }

    fn lock(&self) -> MutexGuard<'_, Datasets> {
        self.datasets.lock().expect("no panic")
    }
}

fn epoch() -> Epoch {
    Epoch::new("e").expect("an epoch")
}

async fn send(socket: &mut WebSocketStream<TcpStream>, codec: Codec, message: &ServerMessage) -> Option<()> {
    let bytes = codec.encode(message);
    let frame = match codec {
        Codec::MsgPack => Message::Binary(bytes.into()),
        Codec::Json => Message::text(String::from_utf8(bytes).expect("JSON")),
    };
    socket.send(frame).await.ok()
}
