//! What a device does with its session, against a server that says only what each story tells it to.

mod support;

use driftless_client::protocol::{ClientMessage, Codec, RefusalCode, ServerMessage};
use driftless_client::{Address, Connection, End, Event, Outcome, Settings, Tokens};
use support::*;

#[tokio::test]
async fn an_unanswered_patch_goes_again_with_its_number_on_the_next_connection() {
    for codec in Codec::ALL {
        let server = Fake::start(codec).await;
        let (device, _events) = server.device();
        let writer = write(&device, put("theme", 1));
        let mut first = server.welcome(16).await;
        assert_eq!(first.hears_write().await, (17, vec![put("theme", 1)]));
        drop(first);

        let mut second = server.welcome(17).await;
        assert_eq!(second.hears_write().await, (17, vec![put("theme", 1)]), "it was applied, but the device cannot know");
        second.says(written(17, 5)).await;
        assert_eq!(writer.await.expect("no panic"), Ok(Outcome::Written { version: 5, records: Vec::new() }));

        let (next, heard) = tokio::join!(write(&device, put("theme", 2)), async {
            let (id, _) = second.hears_write().await;
            second.says(written(id, 6)).await;
            id
        });
        assert!(next.expect("no panic").is_ok());
        assert_eq!(heard, 18);
    }
}

#[tokio::test]
async fn a_replica_follows_acknowledges_and_continues_at_its_position() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, mut events) = server.device();
    device.open(&settings()).await.expect("alive");
    let mut peer = server.welcome(0).await;
    peer.hears_open(None).await;
    peer.says(changes("e", 0, 2, vec![record("a", 1, 1), record("b", 1, 2)])).await;
    peer.hears_ack(2).await;
    assert_eq!(device.synced(&settings()).await, Ok(Some(2)));
    let synced = event(&mut events, |event| matches!(event, Event::Synced { .. })).await;
    assert_eq!(synced, Event::Synced { dataset: settings(), version: 2 });

    let (outcome, ()) = tokio::join!(write(&device, put("a", 2)), async {
        let (id, _) = peer.hears_write().await;
        peer.says(written(id, 3)).await;
        peer.hears_ack(3).await;
    });
    assert_eq!(outcome.expect("no panic"), Ok(Outcome::Written { version: 3, records: Vec::new() }));
    let based = device.put_based(&settings(), key("a"), 3.into()).await.expect("alive").expect("open");
    assert_eq!(based.base, Some(3), "the own write is in the replica");
    drop(peer);

    let mut peer = server.welcome(1).await;
    peer.hears_open(at("e", 3)).await;
    peer.says(changes("e", 3, 4, vec![record("b", 9, 4)])).await;
    peer.hears_ack(4).await;
    assert_eq!(device.position(&settings()).await.expect("alive"), at("e", 4));
    let records = device.records(&settings()).await.expect("alive").expect("open");
    assert_eq!(records.values().map(|record| (record.key.as_str(), record.version)).collect::<Vec<_>>(), [("a", 3), ("b", 4)]);
}

#[tokio::test]
async fn a_reset_forgets_records_but_no_unsent_write() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, mut events) = server.device();
    device.open(&settings()).await.expect("alive");
    let mut peer = server.welcome(0).await;
    peer.hears_open(None).await;
    peer.says(changes("old", 0, 9, vec![record("gone", 1, 9)])).await;
    peer.hears_ack(9).await;
    device.go_offline().await.expect("alive");
    assert_eq!(peer.next().await, None);

    let writer = write(&device, put("mine", 1));
    device.go_online().await.expect("alive");
    let mut peer = server.welcome(0).await;
    peer.hears_open(at("old", 9)).await;
    peer.says(reset(changes("new", 0, 1, vec![record("kept", 1, 1)]), None, false)).await;
    peer.hears_ack(1).await;
    assert_eq!(peer.hears_write().await, (1, vec![put("mine", 1)]));
    peer.says(written(1, 2)).await;
    assert!(writer.await.expect("no panic").is_ok());
    event(&mut events, |event| matches!(event, Event::Changed { reset: true, from: 9, to: 1, .. })).await;
    let records = device.records(&settings()).await.expect("alive").expect("open");
    assert_eq!(records.keys().map(|key| key.as_str()).collect::<Vec<_>>(), ["kept", "mine"]);
}

#[tokio::test]
async fn a_quiet_session_pings_and_without_an_answer_it_is_lost_after_15_seconds() {
    let server = Fake::start(Codec::MsgPack).await;
    let (_device, mut events) = server.device();
    let mut peer = server.welcome(0).await;
    let began = pause_time();
    assert_eq!(peer.hears().await, ClientMessage::Ping);
    assert_eq!(seconds(began), 60);
    peer.says(ServerMessage::Pong).await;
    assert_eq!(peer.hears().await, ClientMessage::Ping);
    assert_eq!(seconds(began), 120);

    let lost = event(&mut events, |event| matches!(event, Event::Disconnected { .. })).await;
    assert_eq!(seconds(began), 135);
    assert!(matches!(lost, Event::Disconnected { why: End::Silent, retry_in_ms: 0..1_000 }), "{lost:?}");
    server.welcome(0).await;
}

#[tokio::test]
async fn a_replaced_device_gives_up_and_keeps_its_patches_until_it_is_told_to_go_on() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, mut events) = server.device();
    let mut peer = server.welcome(0).await;
    let writer = write(&device, put("theme", 1));
    assert_eq!(peer.hears_write().await.0, 1);
    peer.bye(4006, "replaced", None).await;
    let Event::Closed { why } = event(&mut events, |event| matches!(event, Event::Closed { .. })).await else { unreachable!() };
    assert_eq!(why, End::Closed { code: 4006, reason: "replaced".to_owned(), reconnect_after_ms: None });
    tokio::time::pause();
    assert!(tokio::time::timeout(std::time::Duration::from_secs(3_600), server.accept()).await.is_err(), "it does not come back by itself");

    tokio::time::resume();
    device.go_online().await.expect("alive");
    let mut peer = server.welcome(0).await;
    assert_eq!(peer.hears_write().await.0, 1);
    peer.says(written(1, 1)).await;
    assert!(writer.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn a_restarting_server_is_asked_again_when_it_said() {
    let server = Fake::start(Codec::Json).await;
    let (_device, mut events) = server.device();
    let peer = server.welcome(0).await;
    let began = pause_time();
    peer.bye(4012, "restarting", Some(25_000)).await;
    let end = event(&mut events, |event| matches!(event, Event::Disconnected { .. })).await;
    assert!(matches!(end, Event::Disconnected { retry_in_ms: 25_000, .. }), "{end:?}");
    server.welcome(0).await;
    assert!((25..27).contains(&seconds(began)));
}

#[tokio::test]
async fn tokens_are_fresh_at_each_hello_and_at_each_renewal() {
    let server = Fake::start(Codec::MsgPack).await;
    let (_device, _events) = server.device();
    let mut peer = server.accept().await;
    assert!(matches!(peer.hears().await, ClientMessage::Hello { token, .. } if token == "token-0"));
    peer.close(4003, "token_refused").await;

    let mut peer = server.accept().await;
    assert!(matches!(peer.hears().await, ClientMessage::Hello { token, .. } if token == "token-1"));
    peer.welcomes("local:alice", 0).await;
    peer.says(renew(60)).await;
    assert_eq!(peer.hears().await, ClientMessage::Renew { token: "token-2".to_owned() });
    peer.says(renew(3_600)).await;
    tokio::time::pause();
    assert_eq!(peer.hears().await, ClientMessage::Ping, "a confirmation is not a question");
    peer.says(renew(60)).await;
    assert_eq!(peer.hears().await, ClientMessage::Renew { token: "token-3".to_owned() });
}

#[tokio::test]
async fn another_identity_does_not_get_this_ones_writes() {
    let server = Fake::start(Codec::MsgPack).await;
    let (_device, mut events) = server.device();
    drop(server.welcome(0).await);
    let mut peer = server.accept().await;
    peer.hears().await;
    peer.welcomes("local:bob", 0).await;
    let end = event(&mut events, |event| matches!(event, Event::Closed { .. })).await;
    assert_eq!(end, Event::Closed { why: End::OtherIdentity });
}

#[tokio::test]
async fn what_the_store_cannot_take_now_is_written_later_with_the_same_number() {
    for code in [RefusalCode::Unavailable, RefusalCode::ReadOnly] {
        let server = Fake::start(Codec::MsgPack).await;
        let (device, _events) = server.device();
        let mut peer = server.welcome(0).await;
        let (outcome, ()) = tokio::join!(write(&device, put("a", 1)), async {
            let (id, _) = peer.hears_write().await;
            peer.says(refused(id, code)).await;
            peer.hears_nothing_but_a_list(&device).await;
            let later = hand_over(&device, put("a", 2)).await;
            assert_eq!(peer.hears_write_later().await, (id, vec![put("a", 1)]), "the later write of the same key does not come first");
            peer.says(written(id, 1)).await;
            assert_eq!(peer.hears_write().await.0, id + 1);
            peer.says(written(id + 1, 2)).await;
            assert!(matches!(later.await, Ok(Outcome::Written { version: 2, .. })));
        });
        assert!(matches!(outcome, Ok(Ok(Outcome::Written { version: 1, .. }))));
    }
}

#[tokio::test]
async fn an_acknowledgement_that_the_store_cannot_take_now_is_repeated() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, _events) = server.device();
    device.open(&settings()).await.expect("alive");
    let mut peer = server.welcome(0).await;
    peer.hears_open(None).await;
    peer.says(changes("e", 0, 2, vec![record("a", 1, 1)])).await;
    peer.hears_ack(2).await;
    let (dataset, code, message) = (Some("settings".to_owned()), RefusalCode::ReadOnly, "full".to_owned());
    peer.says(ServerMessage::Refused { id: None, dataset, code, message }).await;
    peer.hears_nothing_but_a_list(&device).await;
    assert_eq!(peer.hears_later().await, ClientMessage::Ack { dataset: settings(), version: 2 });
}

#[tokio::test]
async fn a_moved_device_comes_back_and_an_erased_one_does_not() {
    let server = Fake::start(Codec::MsgPack).await;
    let (_device, mut events) = server.device();
    server.welcome(0).await.bye(4015, "moved", None).await;
    let end = event(&mut events, |event| matches!(event, Event::Disconnected { .. })).await;
    assert!(matches!(end, Event::Disconnected { retry_in_ms: 0..1_000, .. }), "{end:?}");
    server.welcome(0).await.bye(4014, "erased", None).await;
    let end = event(&mut events, |event| matches!(event, Event::Closed { .. })).await;
    assert_eq!(end, Event::Closed { why: End::Closed { code: 4014, reason: "erased".to_owned(), reconnect_after_ms: None } });
}

#[tokio::test]
async fn a_patch_that_no_message_can_carry_is_refused_here_and_the_session_goes_on() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, _events) = server.device();
    let mut peer = server.welcome(0).await;
    let mut huge = put("a", 1);
    huge.value = Some("x".repeat(3 << 20).as_str().into());
    let outcome = device.write(&settings(), vec![huge]).await;
    assert!(matches!(outcome, Ok(Outcome::Refused { code: RefusalCode::TooLarge, .. })), "{outcome:?}");
    let (list, ()) = tokio::join!(device.list(), async {
        assert_eq!(peer.hears().await, ClientMessage::List);
        peer.says(ServerMessage::Datasets { datasets: Vec::new() }).await;
    });
    assert_eq!(list, Ok(Vec::new()));
}

#[tokio::test]
async fn the_last_handle_closes_the_socket() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, mut events) = server.device();
    let mut peer = server.welcome(0).await;
    drop(device.clone());
    peer.says(ServerMessage::Pong).await;
    event(&mut events, |event| matches!(event, Event::Connected(_))).await;
    drop(device);
    assert_eq!(peer.next().await, None);
    assert_eq!(events.recv().await, None);
}

#[tokio::test]
async fn a_bare_connection_shows_every_message_and_the_raw_close_code() {
    let server = Fake::start(Codec::Json).await;
    let settings = server.settings(Tokens::fixed("t"));
    let (connection, mut peer) = tokio::join!(Connection::connect(&settings, "t".to_owned()), server.welcome(3));
    let (mut connection, welcome) = connection.expect("welcomed");
    assert_eq!((welcome.patch, welcome.heartbeat_s), (3, 60));
    connection.send_text("nonsense").await.expect("sent");
    peer.says_text(r#"{"type":"from_the_future","x":[]}"#).await;
    assert_eq!(peer.hears_raw().await.to_text().expect("text"), "nonsense");
    peer.bye(4000, "bad_message", None).await;
    let heard = connection.recv().await;
    assert!(matches!(heard, Ok(ServerMessage::Bye { code: 4000, .. })), "the unknown type is ignored: {heard:?}");
    assert_eq!(connection.recv().await, Err(End::Closed { code: 4000, reason: "bad_message".to_owned(), reconnect_after_ms: None }));
}

#[tokio::test]
async fn an_encrypted_address_never_falls_back_to_plain_text() {
    let server = Fake::start(Codec::MsgPack).await;
    let plain = server.settings(Tokens::fixed("t"));
    let address = Address::parse(&plain.address.url().replace("ws://", "wss://")).expect("an address");
    let settings = Settings { address, ..plain };
    let (opened, ()) = tokio::join!(Connection::open(&settings), server.answers_in_plain_text());
    assert!(matches!(opened, Err(End::Unreachable(_))), "{opened:?}");
}
