//! How a device runs its session, against a server that sends only what each test tells it to.

mod support;

use driftless_client::protocol::{ClientMessage, Codec, PushLossReason, PushLost, PushTarget, RefusalCode, Registration, ServerMessage};
use driftless_client::{Address, Connection, DisconnectReason, Event, Settings, TokenSource, WriteOutcome};
use support::*;

#[tokio::test]
async fn an_unanswered_patch_is_sent_again_with_its_number_on_the_next_connection() {
    for codec in Codec::ALL {
        let server = ScriptedServer::start(codec).await;
        let (device, _events) = server.device();
        let writer = write(&device, put("theme", 1));
        let mut first = server.welcome(16).await;
        assert_eq!(first.expect_write().await, (17, vec![put("theme", 1)]));
        drop(first);

        let mut second = server.welcome(17).await;
        assert_eq!(second.expect_write().await, (17, vec![put("theme", 1)]), "the server may have applied it, but the device cannot know");
        second.send(written(17, 5)).await;
        assert_eq!(writer.await.expect("no panic"), Ok(WriteOutcome::Written { version: 5, records: Vec::new() }));

        let (next, received) = tokio::join!(write(&device, put("theme", 2)), async {
            let (id, _) = second.expect_write().await;
            second.send(written(id, 6)).await;
            id
        });
        assert!(next.expect("no panic").is_ok());
        assert_eq!(received, 18);
    }
}

#[tokio::test]
async fn an_app_learns_that_its_push_token_was_lost_and_the_device_registers_again() {
    let server = ScriptedServer::start(Codec::Json).await;
    let (device, mut events) = server.device();
    let target = PushTarget::Fcm("a:b".to_owned());
    let registration = Registration { target, app: "notes".to_owned(), datasets: None, shown: false };
    device.register(registration.clone()).await.expect("alive");
    let mut session = server.accept().await;
    assert!(matches!(session.recv().await, ClientMessage::Hello { .. }));
    session.send(welcome_push_lost("local:alice", PushLost { reason: PushLossReason::Moved, at_ms: 7 })).await;
    let lost = event(&mut events, |event| matches!(event, Event::PushLost { .. })).await;
    assert_eq!(lost, Event::PushLost { reason: PushLossReason::Moved, at_ms: 7 });
    assert_eq!(session.recv().await, ClientMessage::Register(registration));
    drop(session);

    // A reason that this version of the library does not know.
    let mut session = server.accept().await;
    assert!(matches!(session.recv().await, ClientMessage::Hello { .. }));
    let known = welcome_push_lost("local:alice", PushLost { reason: PushLossReason::Moved, at_ms: 8 });
    let text = String::from_utf8(Codec::Json.encode(&known)).expect("UTF-8");
    session.send_text(&text.replace("moved", "expired")).await;
    let lost = event(&mut events, |event| matches!(event, Event::PushLost { .. })).await;
    assert_eq!(lost, Event::PushLost { reason: PushLossReason::Unknown, at_ms: 8 });
}

#[tokio::test]
async fn a_device_applies_changes_acknowledges_them_and_continues_at_its_position() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, mut events) = server.device();
    device.open(&settings()).await.expect("alive");
    let mut session = server.welcome(0).await;
    session.expect_open(None).await;
    session.send(changes("e", 0, 2, vec![record("a", 1, 1), record("b", 1, 2)])).await;
    session.expect_ack(2).await;
    assert_eq!(device.synced(&settings()).await, Ok(Some(2)));
    let synced = event(&mut events, |event| matches!(event, Event::Synced { .. })).await;
    assert_eq!(synced, Event::Synced { dataset: settings(), version: 2 });

    let (outcome, ()) = tokio::join!(write(&device, put("a", 2)), async {
        let (id, _) = session.expect_write().await;
        session.send(written(id, 3)).await;
        session.expect_ack(3).await;
    });
    assert_eq!(outcome.expect("no panic"), Ok(WriteOutcome::Written { version: 3, records: Vec::new() }));
    let based = device.put_if_unchanged(&settings(), key("a"), 3.into()).await.expect("alive").expect("open");
    assert_eq!(based.base, Some(3), "the replica has the own write");
    drop(session);

    let mut session = server.welcome(1).await;
    session.expect_open(at("e", 3)).await;
    session.send(changes("e", 3, 4, vec![record("b", 9, 4)])).await;
    session.expect_ack(4).await;
    assert_eq!(device.position(&settings()).await.expect("alive"), at("e", 4));
    let records = device.records(&settings()).await.expect("alive").expect("open");
    assert_eq!(records.values().map(|record| (record.key.as_str(), record.version)).collect::<Vec<_>>(), [("a", 3), ("b", 4)]);
}

#[tokio::test]
async fn a_page_that_would_leave_a_gap_is_never_applied() {
    let server = ScriptedServer::start(Codec::Json).await;
    let (device, mut events) = server.device();
    device.open(&settings()).await.expect("alive");
    let mut session = server.welcome(0).await;
    session.expect_open(None).await;
    session.send(changes("e", 7, 8, vec![record("stale", 1, 8)])).await;
    session.send(changes("e", 0, 2, vec![record("a", 1, 1)])).await;
    session.expect_ack(2).await;
    let ServerMessage::Changes { epoch, from, to, reset, shared, more, fresh_until, records, .. } =
        changes("e", 0, 1, vec![record("b", 1, 1)])
    else {
        unreachable!()
    };
    let dataset = driftless_client::protocol::DatasetName::new("closed").expect("a name");
    session.send(ServerMessage::Changes { dataset, epoch, from, to, reset, shared, more, fresh_until, records }).await;
    session.send(changes("e", 1, 2, vec![record("a", 0, 1)])).await;
    session.expect_ack(2).await;
    session.send(changes("e", 3, 4, vec![record("c", 1, 4)])).await;
    let end = event(&mut events, |event| matches!(event, Event::Disconnected { .. })).await;
    assert!(matches!(end, Event::Disconnected { why: DisconnectReason::ProtocolError(_), .. }), "{end:?}");
    let mut session = server.welcome(0).await;
    session.expect_open(at("e", 2)).await;
    let records = device.records(&settings()).await.expect("alive").expect("open");
    assert_eq!(records.keys().map(|key| key.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[tokio::test]
async fn a_reset_forgets_records_but_no_unsent_write() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, mut events) = server.device();
    device.open(&settings()).await.expect("alive");
    let mut session = server.welcome(0).await;
    session.expect_open(None).await;
    session.send(changes("old", 0, 9, vec![record("gone", 1, 9)])).await;
    session.expect_ack(9).await;
    device.go_offline().await.expect("alive");
    assert_eq!(session.next().await, None);

    let writer = write(&device, put("mine", 1));
    device.go_online().await.expect("alive");
    let mut session = server.welcome(0).await;
    session.expect_open(at("old", 9)).await;
    session.send(reset(changes("new", 0, 1, vec![record("kept", 1, 1)]), None, false)).await;
    session.expect_ack(1).await;
    assert_eq!(session.expect_write().await, (1, vec![put("mine", 1)]));
    session.send(written(1, 2)).await;
    assert!(writer.await.expect("no panic").is_ok());
    event(&mut events, |event| matches!(event, Event::Changed { reset: true, from: 9, to: 1, .. })).await;
    let records = device.records(&settings()).await.expect("alive").expect("open");
    assert_eq!(records.keys().map(|key| key.as_str()).collect::<Vec<_>>(), ["kept", "mine"]);
}

#[tokio::test]
async fn an_idle_device_pings_and_disconnects_after_15_seconds_without_an_answer() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (_device, mut events) = server.device();
    let mut session = server.welcome(0).await;
    let began = pause_time();
    assert_eq!(session.recv().await, ClientMessage::Ping);
    assert_eq!(seconds(began), 60);
    session.send(ServerMessage::Pong).await;
    assert_eq!(session.recv().await, ClientMessage::Ping);
    assert_eq!(seconds(began), 120);

    let lost = event(&mut events, |event| matches!(event, Event::Disconnected { .. })).await;
    assert_eq!(seconds(began), 135);
    assert!(matches!(lost, Event::Disconnected { why: DisconnectReason::Timeout, retry_in_ms: 0..1_000 }), "{lost:?}");
    server.welcome(0).await;
}

#[tokio::test]
async fn a_replaced_device_gives_up_and_keeps_its_patches_until_the_app_goes_online() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, mut events) = server.device();
    let mut session = server.welcome(0).await;
    let writer = write(&device, put("theme", 1));
    assert_eq!(session.expect_write().await.0, 1);
    session.close_with_bye(4006, "replaced", None).await;
    let Event::Closed { why } = event(&mut events, |event| matches!(event, Event::Closed { .. })).await else { unreachable!() };
    assert_eq!(why, DisconnectReason::Closed { code: 4006, reason: "replaced".to_owned(), message: None, reconnect_after_ms: None });
    tokio::time::pause();
    assert!(
        tokio::time::timeout(std::time::Duration::from_secs(3_600), server.accept()).await.is_err(),
        "the device does not reconnect by itself"
    );

    tokio::time::resume();
    device.go_online().await.expect("alive");
    let mut session = server.welcome(0).await;
    assert_eq!(session.expect_write().await.0, 1);
    session.send(written(1, 1)).await;
    assert!(writer.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn a_device_reconnects_after_the_time_that_a_restarting_server_gave() {
    let server = ScriptedServer::start(Codec::Json).await;
    let (_device, mut events) = server.device();
    let session = server.welcome(0).await;
    let began = pause_time();
    session.close_with_bye(4012, "restarting", Some(25_000)).await;
    let end = event(&mut events, |event| matches!(event, Event::Disconnected { .. })).await;
    assert!(matches!(end, Event::Disconnected { retry_in_ms: 25_000, .. }), "{end:?}");
    server.welcome(0).await;
    assert!((25..27).contains(&seconds(began)));
}

#[tokio::test]
async fn a_device_gets_a_fresh_token_for_each_hello_and_each_renewal() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (_device, _events) = server.device();
    let mut session = server.accept().await;
    assert!(matches!(session.recv().await, ClientMessage::Hello { token, .. } if token == "token-0"));
    session.close(4003, "token_refused").await;

    let mut session = server.accept().await;
    assert!(matches!(session.recv().await, ClientMessage::Hello { token, .. } if token == "token-1"));
    session.send_welcome("local:alice", 0).await;
    session.send(renew(60)).await;
    assert_eq!(session.recv().await, ClientMessage::Renew { token: "token-2".to_owned() });
    session.send(renewed(3_600)).await;
    tokio::time::pause();
    assert_eq!(session.recv().await, ClientMessage::Ping, "an answer is no request for a token");
    session.send(renew(60)).await;
    assert_eq!(session.recv().await, ClientMessage::Renew { token: "token-3".to_owned() });
}

#[tokio::test]
async fn a_token_source_is_asked_at_most_every_ten_seconds_and_again_after_a_failure() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let asked = std::sync::atomic::AtomicU64::new(0);
    let tokens = TokenSource::new(move || {
        let n = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        std::future::ready(if n == 1 { Err("the issuer is down".to_owned()) } else { Ok(format!("token-{n}")) })
    });
    let (device, _events) = driftless_client::Device::connect(server.settings(tokens));
    let mut session = server.welcome(0).await;
    session.send(renew(60)).await;
    session.expect_idle(&device).await;
    let began = pause_time();
    assert_eq!(session.recv().await, ClientMessage::Renew { token: "token-2".to_owned() }, "the first call failed");
    assert_eq!(seconds(began), 10);
    tokio::time::resume();
    for _ in 0..2 {
        session.send(renewed(50)).await;
        session.send(renew(50)).await;
    }
    session.expect_idle(&device).await;
    tokio::time::pause();
    assert_eq!(session.recv().await, ClientMessage::Renew { token: "token-3".to_owned() });
    assert_eq!(seconds(began), 20);
}

#[tokio::test]
async fn a_device_gives_up_when_its_token_leads_to_another_identity() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (_device, mut events) = server.device();
    drop(server.welcome(0).await);
    let mut session = server.accept().await;
    session.recv().await;
    session.send_welcome("local:bob", 0).await;
    let end = event(&mut events, |event| matches!(event, Event::Closed { .. })).await;
    assert_eq!(end, Event::Closed { why: DisconnectReason::OtherIdentity });
}

#[tokio::test]
async fn a_patch_that_the_store_cannot_take_now_is_sent_later_with_the_same_number() {
    for code in [RefusalCode::Unavailable, RefusalCode::ReadOnly] {
        let server = ScriptedServer::start(Codec::MsgPack).await;
        let (device, _events) = server.device();
        let mut session = server.welcome(0).await;
        let (outcome, ()) = tokio::join!(write(&device, put("a", 1)), async {
            let (id, _) = session.expect_write().await;
            session.send(refused(id, code)).await;
            session.expect_idle(&device).await;
            let later = submit(&device, put("a", 2)).await;
            assert_eq!(
                session.expect_write_after_retry().await,
                (id, vec![put("a", 1)]),
                "the later write of the same key is not sent first"
            );
            session.send(written(id, 1)).await;
            assert_eq!(session.expect_write().await.0, id + 1);
            session.send(written(id + 1, 2)).await;
            assert!(matches!(later.await, Ok(WriteOutcome::Written { version: 2, .. })));
        });
        assert!(matches!(outcome, Ok(Ok(WriteOutcome::Written { version: 1, .. }))));
    }
}

#[tokio::test]
async fn an_acknowledgement_that_the_store_cannot_take_now_is_repeated() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, _events) = server.device();
    device.open(&settings()).await.expect("alive");
    let mut session = server.welcome(0).await;
    session.expect_open(None).await;
    session.send(changes("e", 0, 2, vec![record("a", 1, 1)])).await;
    session.expect_ack(2).await;
    let (dataset, code, message) = (Some("settings".to_owned()), RefusalCode::ReadOnly, "full".to_owned());
    session.send(ServerMessage::Refused { id: None, dataset, code, message }).await;
    session.expect_idle(&device).await;
    assert_eq!(session.recv_after_retry().await, ClientMessage::Ack { dataset: settings(), version: 2 });
}

#[tokio::test]
async fn a_device_reconnects_after_moved_and_gives_up_after_erased() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (_device, mut events) = server.device();
    server.welcome(0).await.close_with_bye(4015, "moved", None).await;
    let end = event(&mut events, |event| matches!(event, Event::Disconnected { .. })).await;
    assert!(matches!(end, Event::Disconnected { retry_in_ms: 0..1_000, .. }), "{end:?}");
    server.welcome(0).await.close_with_bye(4014, "erased", None).await;
    let end = event(&mut events, |event| matches!(event, Event::Closed { .. })).await;
    let erased = DisconnectReason::Closed { code: 4014, reason: "erased".to_owned(), message: None, reconnect_after_ms: None };
    assert_eq!(end, Event::Closed { why: erased });
}

#[tokio::test]
async fn a_device_refuses_a_patch_larger_than_a_message_and_its_session_continues() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, _events) = server.device();
    let mut session = server.welcome(0).await;
    let mut huge = put("a", 1);
    huge.value = Some("x".repeat(3 << 20).as_str().into());
    let outcome = device.write(&settings(), vec![huge]).await;
    assert!(matches!(outcome, Ok(WriteOutcome::Refused { code: RefusalCode::TooLarge, .. })), "{outcome:?}");
    let (list, ()) = tokio::join!(device.list(), async {
        assert_eq!(session.recv().await, ClientMessage::List);
        session.send(ServerMessage::Datasets { datasets: Vec::new() }).await;
    });
    assert_eq!(list, Ok(Vec::new()));
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_socket() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, mut events) = server.device();
    let mut session = server.welcome(0).await;
    drop(device.clone());
    session.send(ServerMessage::Pong).await;
    event(&mut events, |event| matches!(event, Event::Connected(_))).await;
    drop(device);
    assert_eq!(session.next().await, None);
    assert_eq!(events.recv().await, None);
}

#[tokio::test]
async fn a_bare_connection_shows_every_message_and_the_raw_close_code() {
    let server = ScriptedServer::start(Codec::Json).await;
    let settings = server.settings(TokenSource::fixed("t"));
    let (connection, mut session) = tokio::join!(Connection::connect(&settings, "t".to_owned()), server.welcome(3));
    let (mut connection, welcome) = connection.expect("welcomed");
    assert_eq!((welcome.patch, welcome.heartbeat_s), (3, 60));
    connection.send_text("nonsense").await.expect("sent");
    session.send_text(r#"{"type":"from_the_future","x":[]}"#).await;
    assert_eq!(session.recv_frame().await.to_text().expect("text"), "nonsense");
    session.close_with_bye(4000, "bad_message", None).await;
    let received = connection.recv().await;
    assert!(matches!(received, Ok(ServerMessage::Bye { code: 4000, .. })), "the unknown type is ignored: {received:?}");
    assert_eq!(
        connection.recv().await,
        Err(DisconnectReason::Closed { code: 4000, reason: "bad_message".to_owned(), message: None, reconnect_after_ms: None })
    );
}

#[tokio::test]
async fn an_encrypted_address_never_falls_back_to_plain_text() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let plain = server.settings(TokenSource::fixed("t"));
    let address = Address::parse(&plain.address.url().replace("ws://", "wss://")).expect("an address");
    let settings = Settings { address, ..plain };
    let (opened, ()) = tokio::join!(Connection::open(&settings), server.answer_in_plain_text());
    assert!(matches!(opened, Err(DisconnectReason::Unreachable(_))), "{opened:?}");
}
