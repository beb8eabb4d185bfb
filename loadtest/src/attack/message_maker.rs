//! Makes the messages of a mix.

use driftless_protocol::{Change, ClientMessage, DatasetName, DeviceId, Epoch, Key, Op, Position, PushTarget, Registration, Value};
use fastrand::Rng;

use super::stock::{STOCK, stock_key};
use crate::attack_mix::{AttackMix, BaseChoice, MessageKind, MessageShape, STOCK_RECORDS, ValueShape};
use crate::fleet::Fleet;

/// A version that no dataset reaches.
const FAR_VERSION: u64 = 1 << 40;

/// Levels of a nested value: the protocol allows 32.
const NESTED_LEVELS: usize = 31;

pub struct MessageMaker {
    rng: Rng,
    shapes: Vec<PreparedShape>,
    /// The version that each session's last write made.
    versions: Vec<u64>,
    weights: u32,
}

/// A shape with what all its messages share.
struct PreparedShape {
    shape: MessageShape,
    value: Value,
    token: String,
}

impl MessageMaker {
    /// `sign` makes a token of the account that is about so many bytes long.
    pub fn new(mix: &AttackMix, sign: impl Fn(usize) -> String) -> Result<MessageMaker, String> {
        let prepare = |shape: &MessageShape| -> Result<PreparedShape, String> {
            let bytes = shape.value_bytes as usize;
            let needs_token = matches!(shape.kind, MessageKind::Renew | MessageKind::Hello);
            let token = if needs_token { sign(bytes) } else { String::new() };
            Ok(PreparedShape { shape: shape.clone(), value: value_of(shape.value, bytes)?, token })
        };
        let shapes: Vec<_> = mix.messages.iter().map(prepare).collect::<Result<_, _>>()?;
        let weights = mix.messages.iter().map(|shape| shape.weight).sum();
        if weights == 0 {
            return Err(format!("the mix {} has no messages", mix.name));
        }
        Ok(MessageMaker { rng: Rng::with_seed(u64::from(mix.seed)), shapes, versions: vec![0; mix.sessions as usize], weights })
    }

    /// A write of this session made this version.
    pub fn set_version(&mut self, device: u32, version: u64) {
        self.versions[device as usize] = version;
    }

    /// The next message of a session, and its kind.
    pub fn next_message(&mut self, device: u32, fleet: &mut Fleet) -> Result<(MessageKind, ClientMessage), String> {
        let mut chosen = self.rng.u32(..self.weights);
        let at = self.shapes.iter().position(|shape| match chosen.checked_sub(shape.shape.weight) {
            Some(rest) => {
                chosen = rest;
                false
            }
            None => true,
        });
        let PreparedShape { shape, value, token } = &self.shapes[at.unwrap_or(0)];
        let rng = &mut self.rng;
        let version = match shape.base {
            BaseChoice::None => None,
            BaseChoice::Zero => Some(0),
            BaseChoice::Current => Some(self.versions[device as usize]),
            BaseChoice::Ahead => Some(FAR_VERSION),
        };
        let name = if shape.stock { STOCK.to_owned() } else { format!("scratch-{}", rng.u32(..shape.datasets.max(1))) };
        let dataset = DatasetName::new(&name).map_err(|error| error.to_string())?;
        let op = match shape.kind {
            MessageKind::Put => Op::Put,
            MessageKind::Remove => Op::Remove,
            MessageKind::Add => Op::Add,
            MessageKind::Merge => Op::Merge,
            MessageKind::Insert => Op::Insert,
            MessageKind::Discard => Op::Discard,
            kind => return Ok((kind, other_message(kind, dataset, version, shape, token)?)),
        };
        let changes = (0..shape.changes).map(|number| {
            let key = key(rng, shape, number)?;
            let change = Change::new(key, op, (op != Op::Remove).then(|| value.clone()));
            Ok(match version {
                Some(base) if matches!(op, Op::Put | Op::Remove) => change.with_base(base),
                _ => change,
            })
        });
        let changes = changes.collect::<Result<Vec<_>, String>>()?;
        Ok((shape.kind, ClientMessage::Write { id: fleet.next_patch_number(device), dataset, changes, offer: false }))
    }
}

fn other_message(
    kind: MessageKind,
    dataset: DatasetName,
    version: Option<u64>,
    shape: &MessageShape,
    token: &str,
) -> Result<ClientMessage, String> {
    let invalid = |error: driftless_protocol::NameError| error.to_string();
    Ok(match kind {
        MessageKind::Open => {
            let epoch = Epoch::new("0123456789abcdef0123456789abcdef").map_err(invalid)?;
            ClientMessage::Open { dataset, position: version.map(|version| Position { epoch, version }) }
        }
        MessageKind::Close => ClientMessage::Close { dataset },
        MessageKind::Ack => ClientMessage::Ack { dataset, version: version.unwrap_or(1) },
        MessageKind::Renew => ClientMessage::Renew { token: token.to_owned() },
        MessageKind::Register => ClientMessage::Register(Registration {
            target: PushTarget::Fcm("f".repeat(shape.value_bytes.min(4096) as usize)),
            app: "com.example.load".to_owned(),
            datasets: Some((0..shape.changes.min(200)).map(|_| dataset.clone()).collect()),
            shown: false,
        }),
        MessageKind::Unregister => ClientMessage::Unregister,
        MessageKind::Ping => ClientMessage::Ping,
        MessageKind::Hello => {
            let device = DeviceId::new("another").map_err(invalid)?;
            ClientMessage::Hello { token: token.to_owned(), device, client: "driftless-loadtest".to_owned() }
        }
        _ => ClientMessage::List,
    })
}

fn key(rng: &mut Rng, shape: &MessageShape, number: u32) -> Result<Key, String> {
    let text = match shape.stock {
        // The keys of one patch are different records, as far as there are any.
        true => stock_key((number + rng.u32(..STOCK_RECORDS)) % STOCK_RECORDS),
        false => format!("{:0>width$}", rng.u32(..shape.keys.max(1)), width = shape.key_bytes as usize),
    };
    Key::new(&text).map_err(|error| error.to_string())
}

/// A value of about this many bytes in MessagePack.
fn value_of(shape: ValueShape, bytes: usize) -> Result<Value, String> {
    let list = |item: &str, item_bytes: usize| format!("[{}]", vec![item; (bytes / item_bytes).max(1)].join(","));
    let json = match shape {
        ValueShape::Text => return Ok(Value::from("x".repeat(bytes))),
        ValueShape::Number => "1".to_owned(),
        ValueShape::Numbers => {
            let numbers: Vec<String> = (0..(bytes / 9).max(1) as u64).map(|number| ((1 << 60) + number).to_string()).collect();
            format!("[{}]", numbers.join(","))
        }
        ValueShape::Maps => list(r#"{"a":1}"#, 4),
        ValueShape::Object => {
            let members: Vec<String> = (0..(bytes / 10).max(1)).map(|number| format!(r#""m{number:07}":1"#)).collect();
            format!("{{{}}}", members.join(","))
        }
        ValueShape::Nested => list(&format!("{}{}", "[".repeat(NESTED_LEVELS - 1), "]".repeat(NESTED_LEVELS - 1)), NESTED_LEVELS - 1),
    };
    Value::from_json(json.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_about_the_size_that_was_asked_for() {
        for shape in [ValueShape::Text, ValueShape::Numbers, ValueShape::Maps, ValueShape::Object, ValueShape::Nested] {
            for bytes in [100, 10_000, 900_000] {
                let value = value_of(shape, bytes).expect("is a value");
                assert!((bytes * 8 / 10..=bytes + 10).contains(&value.packed_bytes()), "{shape:?} {bytes} {}", value.packed_bytes());
            }
        }
    }
}
