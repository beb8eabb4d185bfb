//! Random values through both codecs: the canonical bytes are the same after every hop.
//!
//! A long run: `TEST_SEEDS=0..100000 cargo test -p driftless-protocol --test values`. A seed that failed is added to `random_values/seeds.txt`.

#![allow(clippy::unwrap_used)]

mod random_values;

use driftless_protocol::{
    Change, ClientMessage, Codec, Content, DatasetName, DeviceId, Epoch, Key, Number, Op, Record, ServerMessage, Value,
};
use random_values::{ValueRandom, canonical, seeds};

/// Values of one seed.
const VALUES: usize = 100;

#[test]
fn a_value_keeps_its_canonical_bytes_through_both_codecs() {
    for seed in seeds(60) {
        let mut random = ValueRandom::new(seed);
        for n in 0..VALUES {
            let (value, json) = random.value(4);
            let bytes = canonical(&value);
            let same = |other: &Value, how: &str| assert_eq!(canonical(other), bytes, "seed {seed}, value {n}, {how}: {json}");
            same(&Value::from_json(json.as_bytes()).unwrap_or_else(|why| panic!("seed {seed}: {why}: {json}")), "as it was written");
            for codec in Codec::ALL {
                same(&codec.decode(&codec.encode(&value)).unwrap(), codec.subprotocol());
            }
            let text = json.as_str();
            let message = format!(r#"{{"type":"write","id":1,"dataset":"d","changes":[{{"key":"k","op":"put","value":{text}}}]}}"#);
            let from_json = Codec::Json.decode_client(message.as_bytes()).unwrap();
            let packed = Codec::MsgPack.encode(&from_json);
            assert_eq!(Codec::MsgPack.decode_client(&packed).as_ref(), Ok(&from_json), "seed {seed}: {json}");
            let ClientMessage::Write { changes, .. } = from_json else { panic!("no write") };
            same(changes[0].value.as_ref().unwrap(), "in a write");
            for codec in Codec::ALL {
                let ServerMessage::Changes { records, .. } = codec.decode_server(&codec.encode(&page(value.clone()))).unwrap() else {
                    panic!()
                };
                same(records[0].content.value().unwrap(), "in a page of changes");
            }
        }
    }
}

fn page(value: Value) -> ServerMessage {
    let (key, device) = (Key::new("k").unwrap(), DeviceId::new("d").unwrap());
    let record = Record { key, content: Content::Value(value), version: 1, modified_ms: 1, device };
    let (dataset, epoch) = (DatasetName::new("d").unwrap(), Epoch::new("e").unwrap());
    ServerMessage::Changes {
        dataset,
        epoch,
        from: 0,
        to: 1,
        reset: false,
        shared: None,
        more: false,
        fresh_until: None,
        records: vec![record],
    }
}

#[test]
fn a_number_has_one_value_however_messagepack_spells_it() {
    for seed in seeds(60) {
        let mut random = ValueRandom::new(seed);
        for _ in 0..VALUES {
            let double = random.double();
            let expected = canonical(&Value::from(Number::from_f64(double).unwrap()));
            let packed = [&[0xcb][..], &double.to_be_bytes()].concat();
            assert_eq!(canonical(&Codec::MsgPack.decode(&packed).unwrap()), expected, "seed {seed}: {double:e}");
            let single = double as f32;
            if single.is_finite() {
                let expected = canonical(&Value::from(Number::from_f64(single.into()).unwrap()));
                let packed = [&[0xca][..], &single.to_be_bytes()].concat();
                assert_eq!(canonical(&Codec::MsgPack.decode(&packed).unwrap()), expected, "seed {seed}: {single:e}");
            }
            let whole = random.bits() >> random.below(64);
            let packed = [&[0xcf][..], &whole.to_be_bytes()].concat();
            assert_eq!(
                canonical(&Codec::MsgPack.decode(&packed).unwrap()),
                canonical(&Value::from(Number::from(whole))),
                "seed {seed}: {whole}"
            );
            let whole = whole as i64;
            let packed = [&[0xd3][..], &whole.to_be_bytes()].concat();
            assert_eq!(
                canonical(&Codec::MsgPack.decode(&packed).unwrap()),
                canonical(&Value::from(Number::from(whole))),
                "seed {seed}: {whole}"
            );
        }
    }
}

#[test]
fn numbers_are_equal_exactly_when_their_canonical_bytes_are() {
    for seed in seeds(60) {
        let mut random = ValueRandom::new(seed);
        let numbers: Vec<Number> = (0..VALUES).map(|_| random.number().0).collect();
        for a in &numbers {
            for b in &numbers {
                let same = canonical(&Value::from(*a)) == canonical(&Value::from(*b));
                assert_eq!(a == b, same, "seed {seed}: {a:?} and {b:?}");
            }
        }
    }
}

#[test]
fn half_of_a_surrogate_pair_is_refused_in_values_names_and_keys() {
    let write = |key: &str, value: &str| {
        format!(r#"{{"type":"write","id":1,"dataset":"d","changes":[{{"key":{key},"op":"put","value":{value}}}]}}"#)
    };
    for half in [r#""\ud800""#, r#""\udc00""#, r#""\ud83dx""#, r#""a\ude00\ud83d""#, r#""\ud83d\ud83d""#] {
        assert!(Value::from_json(half.as_bytes()).is_err(), "{half}");
        for message in [write("\"k\"", half), write("\"k\"", &format!("{{{half}:1}}")), write(half, "1")] {
            let refused = Codec::Json.decode_client(message.as_bytes());
            assert!(matches!(refused, Err(driftless_protocol::DecodeError::Refused { id: Some(1), .. })), "{message}: {refused:?}");
        }
    }
    assert!(Codec::Json.decode_client(write(r#""\ud83d\ude00""#, r#""\u0000""#).as_bytes()).is_ok());
    // The same three bytes that UTF-8 does not have, in MessagePack.
    let change = Change::new(Key::new("k").unwrap(), Op::Put, Value::from("abc"));
    let message = ClientMessage::Write { id: 1, dataset: DatasetName::new("d").unwrap(), changes: vec![change], offer: false };
    let mut packed = Codec::MsgPack.encode(&message);
    let at = packed.windows(3).position(|three| three == b"abc").unwrap();
    packed[at..at + 3].copy_from_slice(&[0xed, 0xa0, 0x80]);
    assert!(Codec::MsgPack.decode_client(&packed).is_err());
}
