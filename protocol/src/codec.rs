//! Encodes and decodes messages, in the two codecs.
//!
//! A device's message is decoded in one pass into one flat set of fields, from which a [`ClientMessage`] is built: nothing is
//! buffered to find its `type` first. If that pass fails, a second, lenient one distinguishes a broken frame (the socket
//! is closed) from an invalid request (it is refused, by its number).

use std::fmt;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::checked::{WireChanges, WirePosition, named};
use crate::fault::{Fault, unquoted};
use crate::flag::Flag;
use crate::named::NamedMap;
use crate::names::CheckedName;
use crate::number::WholeNumber;
use crate::partial::PartialRequest;
use crate::text::StrictText;
use crate::{
    Change, ClientMessage, DatasetName, DeviceId, Provider, PushTarget, RefusalCode, Registration, ServerMessage, Value,
    WebPushSubscription, limits, record_list, whole_numbers,
};

/// The encoding of messages, selected by the WebSocket subprotocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Binary frames with MessagePack; structs are maps with field names.
    MsgPack,
    /// Text frames with JSON.
    Json,
}

/// Why bytes could not be decoded as a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes are not a message of this codec: the server closes the socket with `bad_message`.
    Broken(String),
    /// The request is invalid: the server refuses it, and the socket stays open.
    Refused {
        /// The request's patch number, if it could be decoded.
        id: Option<u64>,
        /// The request's dataset, if it could be decoded.
        dataset: Option<String>,
        /// The reason, for programs.
        code: RefusalCode,
        /// The reason, for people.
        message: String,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Broken(why) => write!(f, "not a message: {why}"),
            DecodeError::Refused { code, message, .. } => write!(f, "{code}: {message}"),
        }
    }
}

impl std::error::Error for DecodeError {}

impl Codec {
    /// Both codecs; a server prefers the first.
    pub const ALL: [Codec; 2] = [Codec::MsgPack, Codec::Json];

    /// The name of the codec's WebSocket subprotocol.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Codec::MsgPack => "driftless.v1.msgpack",
            Codec::Json => "driftless.v1.json",
        }
    }

    /// Selects the codec from a `Sec-WebSocket-Protocol` header: the first name in it that is known, `None` if none is.
    pub fn choose(offered: &str) -> Option<Codec> {
        offered.split(',').map(str::trim).find_map(|name| Codec::ALL.into_iter().find(|codec| codec.subprotocol() == name))
    }

    /// Encodes a message and appends it to a buffer.
    pub fn encode_into<T: Serialize>(self, message: &T, buffer: &mut Vec<u8>) {
        let done = match self {
            Codec::MsgPack => rmp_serde::encode::write_named(buffer, message).map_err(|e| e.to_string()),
            Codec::Json => serde_json::to_writer(buffer, message).map_err(|e| e.to_string()),
        };
        // Encoding fails only on a map with keys that are not strings, which no message has, or if the writer fails, which a buffer never does.
        debug_assert!(done.is_ok(), "{done:?}");
    }

    /// Encodes a message of the server and appends it to a buffer: the same bytes as [`Codec::encode_into`], sooner if it has records.
    pub fn encode_server_into(self, message: &ServerMessage, buffer: &mut Vec<u8>) {
        let Some((rest, records)) = message.split_records() else { return self.encode_into(message, buffer) };
        self.encode_into(&rest, buffer);
        match self {
            Codec::MsgPack => record_list::replace_packed(records, buffer),
            Codec::Json => record_list::replace_json(records, buffer),
        }
    }

    /// Encodes a message.
    pub fn encode<T: Serialize>(self, message: &T) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(128);
        self.encode_into(message, &mut buffer);
        buffer
    }

    /// Decodes a device's message.
    pub fn decode_client(self, bytes: &[u8]) -> Result<ClientMessage, DecodeError> {
        match self.decode::<NamedMap<ClientFields>>(bytes) {
            Ok(NamedMap(fields)) => fields.message().and_then(|message| self.check_whole_numbers(bytes, message)),
            Err(why) => match self.decode::<PartialRequest>(bytes) {
                Ok(PartialRequest { id, dataset }) => Err(Fault::of_decoder(&why).refuse(id, dataset)),
                Err(why) => Err(DecodeError::Broken(unquoted(&why))),
            },
        }
    }

    /// Decodes the body of an HTTP request as a device's message. The request's path has named the type (`kind`) and the dataset; the body's own are ignored.
    pub fn decode_client_as(self, bytes: &[u8], kind: &str, dataset: &DatasetName) -> Result<ClientMessage, DecodeError> {
        #[derive(Deserialize)]
        struct WriteBody {
            id: Option<WholeNumber>,
            changes: Option<WireChanges>,
            offer: Option<Flag>,
            version: Option<WholeNumber>,
        }
        let body: NamedMap<WriteBody> = self.decode(bytes).map_err(|why: String| {
            let id = self.decode::<PartialRequest>(bytes).ok().and_then(|request| request.id);
            Fault::of_decoder(&why).refuse(id, Some(dataset.to_string()))
        })?;
        let WriteBody { id, changes, offer, version } = body.0;
        let fields = ClientFields {
            kind: Some(StrictText(kind.to_owned())),
            dataset: Some(CheckedName(Ok(dataset.clone()))),
            id,
            changes,
            offer,
            version,
            ..ClientFields::default()
        };
        fields.message().and_then(|message| self.check_whole_numbers(bytes, message))
    }

    /// Refuses a write whose JSON text, `bytes`, has a whole number in a value that does not fit 64 bits.
    fn check_whole_numbers(self, bytes: &[u8], message: ClientMessage) -> Result<ClientMessage, DecodeError> {
        let ClientMessage::Write { id, dataset, changes, .. } = &message else { return Ok(message) };
        match if self == Codec::Json { first_rounded(bytes, changes) } else { None } {
            None => Ok(message),
            Some(at) => {
                let fault = Fault::request(format!("changes[{at}].value: {}", whole_numbers::RULE));
                Err(fault.refuse(Some(*id), Some(dataset.to_string())))
            }
        }
    }

    /// Decodes the body of an HTTP request as a registration; the request's path has named the type.
    pub fn decode_registration(self, bytes: &[u8]) -> Result<Registration, DecodeError> {
        #[derive(Deserialize)]
        struct RegistrationBody {
            provider: Option<Provider>,
            app: Option<StrictText>,
            token: Option<StrictText>,
            subscription: Option<NamedMap<SubscriptionFields>>,
            datasets: Option<Vec<CheckedName<DatasetName>>>,
            shown: Option<Flag>,
        }
        let refused = |fault: Fault| fault.refuse(None, None);
        let body: NamedMap<RegistrationBody> = self.decode(bytes).map_err(|why: String| refused(Fault::of_decoder(&why)))?;
        let RegistrationBody { provider, app, token, subscription, datasets, shown } = body.0;
        let fields = ClientFields { provider, app, token, subscription, datasets, shown, ..ClientFields::default() };
        fields.registration().map_err(refused)
    }

    /// Decodes a server's message. Every error is [`DecodeError::Broken`].
    pub fn decode_server(self, bytes: &[u8]) -> Result<ServerMessage, DecodeError> {
        self.decode(bytes).map_err(DecodeError::Broken)
    }

    /// Decodes one value that takes all of the bytes, nested at most [`limits::MESSAGE_DEPTH`] levels. The error is the decoder's text, which may
    /// quote the input.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, String> {
        match self {
            Codec::Json => serde_json::from_slice(bytes).map_err(|e| e.to_string()),
            Codec::MsgPack => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
                reader.set_max_depth(limits::MESSAGE_DEPTH);
                let message = T::deserialize(&mut reader).map_err(|e| e.to_string())?;
                match IgnoredAny::deserialize(&mut reader) {
                    Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(message),
                    _ => Err("bytes follow the message".to_owned()),
                }
            }
        }
    }
}

/// The first change of a write whose value has a whole number outside of 64 bits, which serde_json has rounded. `json` is the text that the
/// changes were decoded from.
///
/// The text is read again only if a number of the changes is as a rounded one would be, so nearly never.
fn first_rounded(json: &[u8], changes: &[Change]) -> Option<usize> {
    #[derive(Deserialize)]
    struct RawWrite<'a> {
        #[serde(borrow)]
        changes: Vec<RawChange<'a>>,
    }
    #[derive(Deserialize)]
    struct RawChange<'a> {
        #[serde(borrow)]
        value: Option<&'a RawValue>,
    }
    if !changes.iter().filter_map(|change| change.value.as_ref()).any(Value::may_be_rounded) {
        return None;
    }
    // The text was decoded before, so this does not fail.
    let write: RawWrite<'_> = serde_json::from_slice(json).ok()?;
    write.changes.iter().position(|change| change.value.is_some_and(|value| whole_numbers::first_outside(value.get()).is_some()))
}

/// Every field that a device's message may have.
#[derive(Deserialize, Default)]
struct ClientFields {
    #[serde(rename = "type")]
    kind: Option<StrictText>,
    token: Option<StrictText>,
    device: Option<CheckedName<DeviceId>>,
    client: Option<StrictText>,
    dataset: Option<CheckedName<DatasetName>>,
    position: Option<NamedMap<WirePosition>>,
    id: Option<WholeNumber>,
    changes: Option<WireChanges>,
    offer: Option<Flag>,
    version: Option<WholeNumber>,
    provider: Option<Provider>,
    app: Option<StrictText>,
    subscription: Option<NamedMap<SubscriptionFields>>,
    datasets: Option<Vec<CheckedName<DatasetName>>>,
    shown: Option<Flag>,
}

/// A subscription on the wire, not checked yet: with its keys beside the endpoint, or under `keys` as browsers print it.
#[derive(Deserialize)]
struct SubscriptionFields {
    endpoint: StrictText,
    p256dh: Option<StrictText>,
    auth: Option<StrictText>,
    keys: Option<NamedMap<SubscriptionKeyFields>>,
}

#[derive(Default, Deserialize)]
struct SubscriptionKeyFields {
    p256dh: Option<StrictText>,
    auth: Option<StrictText>,
}

impl SubscriptionFields {
    /// A key that is missing is empty, which the check of the subscription refuses.
    fn subscription(self) -> WebPushSubscription {
        let SubscriptionFields { endpoint: StrictText(endpoint), p256dh, auth, keys } = self;
        let keys = keys.map(|NamedMap(keys)| keys).unwrap_or_default();
        let text =
            |beside: Option<StrictText>, under: Option<StrictText>| beside.or(under).map(|StrictText(text)| text).unwrap_or_default();
        WebPushSubscription { endpoint, p256dh: text(p256dh, keys.p256dh), auth: text(auth, keys.auth) }
    }
}

impl ClientFields {
    fn message(self) -> Result<ClientMessage, DecodeError> {
        let (id, dataset) = (self.id.map(|WholeNumber(id)| id), self.dataset.clone());
        self.build().map_err(|fault| fault.refuse(id, dataset.map(CheckedName::into_text).filter(|name| is_short(name))))
    }

    fn build(self) -> Result<ClientMessage, Fault> {
        let StrictText(kind) = required(self.kind.as_ref(), "the message", "type")?;
        let dataset = |name: Option<CheckedName<DatasetName>>| named(required(name, kind, "dataset")?, "dataset");
        match kind.as_str() {
            "hello" => {
                let client = required(self.client, "hello", "client")?.0;
                if client.len() > limits::CLIENT_BYTES {
                    return Err(Fault::request(format!("client must be at most {} bytes", limits::CLIENT_BYTES)));
                }
                let token = required(self.token, "hello", "token")?.0;
                Ok(ClientMessage::Hello { token, device: named(required(self.device, "hello", "device")?, "device")?, client })
            }
            "renew" => Ok(ClientMessage::Renew { token: required(self.token, "renew", "token")?.0 }),
            "open" => Ok(ClientMessage::Open {
                dataset: dataset(self.dataset)?,
                position: self.position.map(|NamedMap(position)| position.position()).transpose()?,
            }),
            "close" => Ok(ClientMessage::Close { dataset: dataset(self.dataset)? }),
            "list" => Ok(ClientMessage::List),
            "write" => {
                let id = checked_number(required(self.id, "write", "id")?, "id")?;
                if id == 0 {
                    return Err(Fault::request("id counts from 1".to_owned()));
                }
                let changes = required(self.changes, "write", "changes")?.0?;
                let offer = self.offer.is_some_and(|Flag(offer)| offer);
                Ok(ClientMessage::Write { id, dataset: dataset(self.dataset)?, changes, offer })
            }
            "ack" => {
                let version = checked_number(required(self.version, "ack", "version")?, "version")?;
                Ok(ClientMessage::Ack { dataset: dataset(self.dataset)?, version })
            }
            "register" => self.registration().map(ClientMessage::Register),
            "unregister" => Ok(ClientMessage::Unregister),
            "ping" => Ok(ClientMessage::Ping),
            unknown => Err(Fault { code: RefusalCode::UnknownType, message: format!("unknown type {unknown:.40}") }),
        }
    }
}

impl ClientFields {
    fn registration(self) -> Result<Registration, Fault> {
        let provider = required(self.provider, "register", "provider")?;
        let app = required(self.app, "register", "app")?.0;
        let subscription = self.subscription.map(|NamedMap(one)| one.subscription());
        let token = self.token.map(|StrictText(token)| token);
        let target = PushTarget::new(provider, token.as_deref(), subscription)
            .map_err(|why| Fault { code: RefusalCode::BadPushToken, message: why.to_owned() })?;
        let one = |(at, name): (usize, CheckedName<DatasetName>)| named(name, format_args!("datasets[{at}]"));
        let datasets = self.datasets.map(|names| names.into_iter().enumerate().map(one).collect::<Result<Vec<_>, _>>()).transpose()?;
        Registration::new(target, app, datasets, self.shown.is_some_and(|Flag(shown)| shown)).map_err(|why| Fault::request(why.to_owned()))
    }
}

impl Fault {
    fn refuse(self, id: Option<u64>, dataset: Option<String>) -> DecodeError {
        let Fault { code, message } = self;
        DecodeError::Refused { id, dataset, code, message }
    }
}

/// Whether a refusal may quote what was sent as the name of a dataset.
fn is_short(name: &str) -> bool {
    name.len() <= limits::DATASET_NAME_BYTES
}

fn required<T>(field: Option<T>, message: &str, name: &str) -> Result<T, Fault> {
    field.ok_or_else(|| Fault::request(format!("{message} needs the field {name}")))
}

fn checked_number(WholeNumber(number): WholeNumber, name: &str) -> Result<u64, Fault> {
    if number < limits::NUMBER_BOUND { Ok(number) } else { Err(Fault::request(format!("{name} must be below 2^53"))) }
}

#[cfg(test)]
mod tests;
