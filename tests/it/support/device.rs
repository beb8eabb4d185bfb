//! A device that sends and receives one message at a time, so that a test sees each of them.

use driftless_client::{Connection, DisconnectReason, Settings, TokenSource, Welcome};
use driftless_protocol::{
    Change, ClientMessage, CloseCode, Codec, DatasetName, DeviceId, Key, LinkedLogin, Op, Position, Record, RefusalCode, ServerMessage,
    Value,
};

use super::wait_for;

/// A device with an open session.
pub struct TestDevice {
    pub connection: Connection,
    pub welcome: Welcome,
    last_patch: u64,
}

pub fn name(dataset: &str) -> DatasetName {
    DatasetName::new(dataset).unwrap()
}

pub fn key(key: &str) -> Key {
    Key::new(key).unwrap()
}

/// A value, written as JSON.
pub fn value(json: &str) -> Value {
    Value::from_json(json.as_bytes()).unwrap()
}

/// A change, written as `put theme "dark"`, `add visits 1` or `remove old`.
pub fn change(text: &str) -> Change {
    let mut words = text.splitn(3, ' ');
    let op = match words.next().unwrap() {
        "put" => Op::Put,
        "remove" => Op::Remove,
        "add" => Op::Add,
        "merge" => Op::Merge,
        "insert" => Op::Insert,
        "discard" => Op::Discard,
        other => panic!("no operation {other}"),
    };
    Change::new(key(words.next().unwrap()), op, words.next().map(value))
}

/// The client library's settings of a device that uses this codec.
pub fn settings(url: &str, device: &str, codec: Codec) -> Settings {
    let settings = Settings::new(url, DeviceId::new(device).unwrap(), TokenSource::fixed("unused")).unwrap();
    Settings { codec, ..settings }
}

impl TestDevice {
    /// Opens a session in MessagePack.
    pub async fn connect(url: &str, token: &str, device: &str) -> TestDevice {
        TestDevice::connect_with_codec(url, token, device, Codec::MsgPack).await
    }

    /// Opens a session in this codec.
    pub async fn connect_with_codec(url: &str, token: &str, device: &str, codec: Codec) -> TestDevice {
        let settings = settings(url, device, codec);
        let connecting = Connection::connect(&settings, token.to_owned());
        let (connection, welcome) = wait_for("a welcome", connecting).await.unwrap();
        TestDevice { last_patch: welcome.patch, connection, welcome }
    }

    /// Tries to open a session, which the server must refuse.
    pub async fn connect_refused(url: &str, token: &str, device: &str) -> DisconnectReason {
        let settings = settings(url, device, Codec::MsgPack);
        let connecting = Connection::connect(&settings, token.to_owned());
        wait_for("an end", connecting).await.map(|_| ()).unwrap_err()
    }

    pub async fn send_message(&mut self, message: ClientMessage) {
        wait_for("sending", self.connection.send(&message)).await.unwrap();
    }

    /// The next message, except `linked`, which comes between others whenever a login was linked.
    pub async fn receive(&mut self) -> ServerMessage {
        loop {
            match wait_for("a message", self.connection.recv()).await.unwrap() {
                ServerMessage::Linked { .. } => {}
                other => return other,
            }
        }
    }

    /// Receives until the server tells of linked logins, and returns them.
    pub async fn receive_linked(&mut self) -> Vec<LinkedLogin> {
        loop {
            if let ServerMessage::Linked { logins } = wait_for("linked", self.connection.recv()).await.unwrap() {
                return logins;
            }
        }
    }

    /// Receives until the server closes the socket, and returns its close code.
    pub async fn close_code(&mut self) -> CloseCode {
        loop {
            match wait_for("an end", self.connection.recv()).await {
                Ok(_) => {}
                Err(end) => return end.code().unwrap_or_else(|| panic!("an end without a code: {end:?}")),
            }
        }
    }

    /// Opens a dataset without a position and returns its records and its position.
    pub async fn open(&mut self, dataset: &str) -> (Vec<Record>, Position) {
        self.open_at(dataset, None).await
    }

    pub async fn open_at(&mut self, dataset: &str, position: Option<Position>) -> (Vec<Record>, Position) {
        self.send_message(ClientMessage::Open { dataset: name(dataset), position }).await;
        let mut all = Vec::new();
        loop {
            match self.receive().await {
                ServerMessage::Changes { epoch, to, more, records, .. } => {
                    all.extend(records);
                    if !more {
                        return (all, Position { epoch, version: to });
                    }
                }
                other => panic!("not changes: {other:?}"),
            }
        }
    }

    /// Sends a patch under the next patch number and returns the number.
    pub async fn send_patch(&mut self, dataset: &str, changes: &[Change]) -> u64 {
        self.last_patch += 1;
        let (id, dataset) = (self.last_patch, name(dataset));
        self.send_message(ClientMessage::Write { id, dataset, changes: changes.to_vec(), offer: false }).await;
        id
    }

    /// Sends a patch and returns the server's answer.
    pub async fn try_write(&mut self, dataset: &str, changes: &[Change]) -> ServerMessage {
        self.send_patch(dataset, changes).await;
        self.receive().await
    }

    /// Writes a patch, which must be applied, and returns its version.
    pub async fn write(&mut self, dataset: &str, changes: &[Change]) -> u64 {
        match self.try_write(dataset, changes).await {
            ServerMessage::Written { version, .. } => version,
            other => panic!("not written: {other:?}"),
        }
    }

    /// Puts one value, which must be applied, and returns the version.
    pub async fn put(&mut self, dataset: &str, key: &str, json: &str) -> u64 {
        self.write(dataset, &[change(&format!("put {key} {json}"))]).await
    }

    /// Receives a page of changes and returns its `from`, its `to` and its records.
    pub async fn receive_changes(&mut self) -> (u64, u64, Vec<Record>) {
        match self.receive().await {
            ServerMessage::Changes { from, to, records, .. } => (from, to, records),
            other => panic!("not changes: {other:?}"),
        }
    }

    pub async fn receive_refusal(&mut self) -> RefusalCode {
        match self.receive().await {
            ServerMessage::Refused { code, .. } => code,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Asserts that the server has sent nothing more: a message sent before the answer to this ping would be received first.
    pub async fn assert_quiet(&mut self) {
        self.send_message(ClientMessage::Ping).await;
        let next = self.receive().await;
        assert_eq!(next, ServerMessage::Pong, "the server had sent something");
    }
}
