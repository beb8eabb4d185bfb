//! Injected frames go between whole frames, wherever the bytes are split.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::connection_control::ConnectionControl;
use crate::frame_injector::FrameInjector;
use crate::frames::{FrameParser, FramePart, PREFACE_BYTES, go_away_frame, stream_limit_frame};

const ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];

fn frame(frame_type: u8, flags: u8, stream: u8, payload: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, payload as u8, frame_type, flags, 0, 0, 0, stream];
    bytes.resize(9 + payload, frame_type);
    bytes
}

/// What the library writes: SETTINGS, HEADERS with CONTINUATION, DATA.
fn written() -> Vec<u8> {
    [frame(4, 0, 0, 12), frame(1, 0, 1, 5), frame(9, 4, 1, 7), frame(0, 1, 1, 40)].concat()
}

/// Type and stream of each frame.
fn frame_types(mut bytes: &[u8]) -> Vec<(u8, u8)> {
    let (mut frames, mut found) = (FrameParser::default(), Vec::new());
    while !bytes.is_empty() {
        let (consumed, part) = frames.advance(bytes);
        if let FramePart::Header(header) = part {
            found.push((header.bytes[3], header.bytes[8]));
        }
        bytes = &bytes[consumed..];
    }
    assert!(frames.is_at_boundary());
    found
}

#[tokio::test]
async fn frames_are_injected_only_between_whole_frames() {
    let library = written();
    for split in 0..library.len() {
        let (near, mut far) = duplex(4096);
        let control = Arc::new(ConnectionControl::new(7, false));
        let mut injector = FrameInjector::new(near, control.clone());
        injector.write_all(&library[..split]).await.unwrap();
        control.go_away_at(5);
        injector.write_all(&library[split..]).await.unwrap();
        injector.flush().await.unwrap();
        drop(injector);
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.unwrap();

        assert!(bytes.starts_with(&stream_limit_frame(7)), "the limit is the first frame, split at {split}");
        let frame_types = frame_types(&bytes);
        let own: Vec<_> = frame_types.iter().filter(|frame_type| frame_type.0 != 7).copied().collect();
        assert_eq!(own, [(4, 0), (4, 0), (1, 1), (9, 1), (0, 1)], "split at {split}");
        let headers = frame_types.iter().position(|frame_type| frame_type.0 == 1).unwrap();
        assert_eq!(frame_types[headers + 1].0, 9, "no frame between HEADERS and CONTINUATION, split at {split}");
        assert!(bytes.windows(17).any(|part| part == go_away_frame(5)), "split at {split}");
    }
}

#[tokio::test]
async fn the_library_sees_only_acknowledgements_of_its_own_settings() {
    let sent =
        [vec![b'P'; PREFACE_BYTES], frame(4, 0, 0, 6), ACK.to_vec(), frame(1, 4, 1, 9), ACK.to_vec(), ACK.to_vec(), frame(0, 1, 1, 3)];
    let expected = [vec![b'P'; PREFACE_BYTES], frame(4, 0, 0, 6), frame(1, 4, 1, 9), ACK.to_vec(), frame(0, 1, 1, 3)].concat();
    let sent = sent.concat();
    for split in 0..sent.len() {
        let (near, mut far) = duplex(4096);
        let control = Arc::new(ConnectionControl::new(7, false));
        let mut injector = FrameInjector::new(near, control.clone());
        injector.write_all(&frame(4, 0, 0, 0)).await.unwrap();
        control.limit_streams(1);
        injector.flush().await.unwrap();

        let mut read = vec![0; expected.len()];
        far.write_all(&sent[..split]).await.unwrap();
        let mut read_early = 0;
        if split > 0 {
            // The injector holds an incomplete header back until the rest has come.
            read_early = tokio::select! {
                biased;
                count = injector.read(&mut read) => count.unwrap(),
                () = std::future::ready(()) => 0,
            };
        }
        far.write_all(&sent[split..]).await.unwrap();
        injector.read_exact(&mut read[read_early..]).await.unwrap();
        assert!(read == expected, "split at {split}");
        assert!(control.allows_stream(1, 100) && control.allows_stream(3, 0) && !control.allows_stream(3, 1), "split at {split}");
    }
}
