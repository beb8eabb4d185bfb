//! A device that does one step at a time: what it says, what it hears.

use driftless_client::{Connection, DisconnectReason, Settings, TokenSource, Welcome};
use driftless_protocol::{
    Change, ClientMessage, CloseCode, Codec, DatasetName, DeviceId, Key, Op, Position, Record, RefusalCode, ServerMessage, Value,
};

use super::soon;

/// A welcomed device.
pub struct Phone {
    pub connection: Connection,
    pub welcome: Welcome,
    next: u64,
}

pub fn name(dataset: &str) -> DatasetName {
    DatasetName::new(dataset).unwrap()
}

pub fn key(key: &str) -> Key {
    Key::new(key).unwrap()
}

/// A value from JSON.
pub fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// A change from `put theme "dark"`, `add visits 1`, `remove old`.
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

/// How a device of a codec is set up.
pub fn settings(url: &str, device: &str, codec: Codec) -> Settings {
    let settings = Settings::new(url, DeviceId::new(device).unwrap(), TokenSource::fixed("unused")).unwrap();
    Settings { codec, ..settings }
}

impl Phone {
    /// Connects, in MessagePack, and is welcomed.
    pub async fn welcomed(url: &str, token: &str, device: &str) -> Phone {
        Phone::speaking(url, token, device, Codec::MsgPack).await
    }

    /// The same in a codec of choice.
    pub async fn speaking(url: &str, token: &str, device: &str, codec: Codec) -> Phone {
        let settings = settings(url, device, codec);
        let connecting = Connection::connect(&settings, token.to_owned());
        let (connection, welcome) = soon("a welcome", connecting).await.unwrap();
        Phone { next: welcome.patch, connection, welcome }
    }

    /// Tries to connect, and says how that ended.
    pub async fn refused(url: &str, token: &str, device: &str) -> DisconnectReason {
        let settings = settings(url, device, Codec::MsgPack);
        let connecting = Connection::connect(&settings, token.to_owned());
        soon("an end", connecting).await.map(|_| ()).unwrap_err()
    }

    pub async fn say(&mut self, message: ClientMessage) {
        soon("sending", self.connection.send(&message)).await.unwrap();
    }

    pub async fn hear(&mut self) -> ServerMessage {
        soon("a message", self.connection.recv()).await.unwrap()
    }

    /// The next message must be the end of the socket, after its bye.
    pub async fn end(&mut self) -> CloseCode {
        loop {
            match soon("an end", self.connection.recv()).await {
                Ok(_) => {}
                Err(end) => return end.code().unwrap_or_else(|| panic!("an end without a code: {end:?}")),
            }
        }
    }

    /// Opens a dataset from nothing and returns its records and position.
    pub async fn open(&mut self, dataset: &str) -> (Vec<Record>, Position) {
        self.open_at(dataset, None).await
    }

    pub async fn open_at(&mut self, dataset: &str, position: Option<Position>) -> (Vec<Record>, Position) {
        self.say(ClientMessage::Open { dataset: name(dataset), position }).await;
        let mut all = Vec::new();
        loop {
            match self.hear().await {
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

    /// Sends a patch with the next number and returns the number.
    pub async fn send(&mut self, dataset: &str, changes: &[Change]) -> u64 {
        self.next += 1;
        self.say(ClientMessage::Write { id: self.next, dataset: name(dataset), changes: changes.to_vec(), offer: false }).await;
        self.next
    }

    /// Sends a patch and returns its answer.
    pub async fn ask(&mut self, dataset: &str, changes: &[Change]) -> ServerMessage {
        self.send(dataset, changes).await;
        self.hear().await
    }

    /// Writes, and returns the version.
    pub async fn write(&mut self, dataset: &str, changes: &[Change]) -> u64 {
        match self.ask(dataset, changes).await {
            ServerMessage::Written { version, .. } => version,
            other => panic!("not written: {other:?}"),
        }
    }

    /// Puts one value.
    pub async fn put(&mut self, dataset: &str, key: &str, json: &str) -> u64 {
        self.write(dataset, &[change(&format!("put {key} {json}"))]).await
    }

    /// Hears changes and returns their records and bounds.
    pub async fn changes(&mut self) -> (u64, u64, Vec<Record>) {
        match self.hear().await {
            ServerMessage::Changes { from, to, records, .. } => (from, to, records),
            other => panic!("not changes: {other:?}"),
        }
    }

    /// Hears a refusal.
    pub async fn refusal(&mut self) -> RefusalCode {
        match self.hear().await {
            ServerMessage::Refused { code, .. } => code,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Nothing of the server is on its way: whatever was sent before this ping's answer is heard first.
    pub async fn is_quiet(&mut self) {
        self.say(ClientMessage::Ping).await;
        let next = self.hear().await;
        assert_eq!(next, ServerMessage::Pong, "something was on its way");
    }
}
