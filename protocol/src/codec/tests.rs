use super::*;
use crate::Position;

fn refusal(text: &str) -> (Option<u64>, RefusalCode) {
    match Codec::Json.decode_client(text.as_bytes()) {
        Err(DecodeError::Refused { id, code, .. }) => (id, code),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn an_invalid_request_is_refused_by_its_number() {
    assert_eq!(refusal(r#"{"type":"write","id":7,"dataset":"a b","changes":[]}"#), (Some(7), RefusalCode::BadName));
    assert_eq!(refusal(r#"{"type":"write","id":7,"dataset":"a","changes":3}"#), (Some(7), RefusalCode::BadRequest));
    assert_eq!(refusal(r#"{"type":"write","id":7,"dataset":"a"}"#), (Some(7), RefusalCode::BadRequest));
    assert_eq!(refusal(r#"{"type":"write","id":"x","dataset":"a","changes":[]}"#), (None, RefusalCode::BadRequest));
    assert_eq!(refusal(r#"{"type":"write","id":7,"dataset":"a","changes":[["k","remove"]]}"#), (Some(7), RefusalCode::BadRequest));
    assert_eq!(refusal(r#"{"type":"fly","id":7}"#), (Some(7), RefusalCode::UnknownType));
    assert_eq!(refusal(r#"{"id":7}"#), (Some(7), RefusalCode::BadRequest));
    assert_eq!(refusal(r#"{"type":"write","id":9007199254740992,"dataset":"a","changes":[]}"#).1, RefusalCode::BadRequest);
    assert_eq!(refusal(r#"{"type":"ping","type":"ping"}"#).1, RefusalCode::BadRequest);
}

#[test]
fn a_broken_frame_is_broken() {
    for text in ["", "{", "[1,2]", "nonsense", "{\"type\":\"ping\"} {}", "\u{0}"] {
        assert!(matches!(Codec::Json.decode_client(text.as_bytes()), Err(DecodeError::Broken(_))), "{text}");
    }
    let ping = Codec::MsgPack.encode(&ClientMessage::Ping);
    assert_eq!(Codec::MsgPack.decode_client(&ping), Ok(ClientMessage::Ping));
    for tail in [&b"\xc0"[..], b"\xc1", b"\x01", b"\xdb"] {
        let bytes = [&ping[..], tail].concat();
        assert!(matches!(Codec::MsgPack.decode_client(&bytes), Err(DecodeError::Broken(_))), "{tail:?}");
    }
    let endless = [&b"\x81\xa4type\xdb\xff\xff\xff\xff"[..], b"abcde"].concat();
    assert!(matches!(Codec::MsgPack.decode_client(&endless), Err(DecodeError::Broken(_))));
    let text_in_binary = br#"{"type":"ping"}"#;
    assert!(matches!(Codec::MsgPack.decode_client(text_in_binary), Err(DecodeError::Broken(_))));
}

#[test]
fn nesting_in_an_ignored_field_is_bounded_too() {
    let mut bytes = b"\x82\xa4type\xa4ping\xa1x".to_vec();
    bytes.extend(std::iter::repeat_n(0x91, 1_000_000));
    assert!(matches!(Codec::MsgPack.decode_client(&bytes), Err(DecodeError::Broken(_))));
    let text = format!(r#"{{"type":"ping","x":{}"#, "[".repeat(1_000_000));
    assert!(matches!(Codec::Json.decode_client(text.as_bytes()), Err(DecodeError::Broken(_))));
}

#[test]
fn unknown_fields_are_ignored() {
    assert_eq!(Codec::Json.decode_client(br#"{"type":"ping","later":[{"x":1}]}"#), Ok(ClientMessage::Ping));
}

#[test]
fn a_whole_number_of_more_than_64_bits_is_refused_by_its_patch_number() {
    let write = |value: &str| format!(r#"{{"type":"write","id":7,"dataset":"a","changes":[{{"key":"k","op":"put","value":{value}}}]}}"#);
    for outside in ["18446744073709551616", "-9223372036854775809", "[{\"a\":[18446744073709551616]}]", "1e400"] {
        assert_eq!(refusal(&write(outside)), (Some(7), RefusalCode::BadRequest), "{outside}");
        let body = write(outside);
        let decoded = Codec::Json.decode_client_as(body.as_bytes(), "write", &DatasetName::new("a").expect("a name"));
        assert!(matches!(decoded, Err(DecodeError::Refused { code: RefusalCode::BadRequest, .. })), "{outside}: {decoded:?}");
    }
    for inside in ["18446744073709551615", "-9223372036854775808", "18446744073709551616.0", "1e300", "\"18446744073709551616\""] {
        assert!(Codec::Json.decode_client(write(inside).as_bytes()).is_ok(), "{inside}");
    }
    let ignored = write("1e300").replace("\"id\"", "\"later\":18446744073709551616,\"id\"");
    assert!(Codec::Json.decode_client(ignored.as_bytes()).is_ok(), "an unknown field is ignored, whatever its value");
}

#[test]
fn a_whole_number_of_a_message_may_be_written_as_a_double() {
    let text = r#"{"type":"write","id":17.0,"dataset":"a","changes":[{"key":"k","op":"remove","base":1e2}]}"#;
    let Ok(ClientMessage::Write { id: 17, changes, .. }) = Codec::Json.decode_client(text.as_bytes()) else { panic!("not decoded") };
    assert_eq!(changes[0].base, Some(100));
    let text = r#"{"type":"open","dataset":"a","position":{"epoch":"e","version":4.1e1}}"#;
    assert!(matches!(
        Codec::Json.decode_client(text.as_bytes()),
        Ok(ClientMessage::Open { position: Some(Position { version: 41, .. }), .. })
    ));
    // As encoders for JavaScript write what does not fit 32 bits.
    let ack = [&b"\x83\xa4type\xa3ack\xa7dataset\xa1a\xa7version\xcb"[..], &1_790_000_000_000_f64.to_be_bytes()].concat();
    assert!(matches!(Codec::MsgPack.decode_client(&ack), Ok(ClientMessage::Ack { version: 1_790_000_000_000, .. })));
    for id in ["1.5", "-1", "-1.0", "9007199254740992.0", "1e300", "18446744073709551616", "true"] {
        let text = format!(r#"{{"type":"write","id":{id},"dataset":"a","changes":[]}}"#);
        assert_eq!(refusal(&text).1, RefusalCode::BadRequest, "{id}");
    }
    let refused_by_number = r#"{"type":"write","id":7.0,"dataset":"a","changes":3}"#;
    assert_eq!(refusal(refused_by_number), (Some(7), RefusalCode::BadRequest));
}
