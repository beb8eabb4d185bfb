//! Frames that are put in go between others, however the bytes are cut.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::control::Control;
use crate::frames::{Frames, PREFACE_BYTES, Part, go_away, stream_limit};
use crate::wire::Wire;

const ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];

fn frame(kind: u8, flags: u8, stream: u8, payload: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, payload as u8, kind, flags, 0, 0, 0, stream];
    bytes.resize(9 + payload, kind);
    bytes
}

/// SETTINGS of the library, HEADERS with their CONTINUATION, DATA.
fn written() -> Vec<u8> {
    [frame(4, 0, 0, 12), frame(1, 0, 1, 5), frame(9, 4, 1, 7), frame(0, 1, 1, 40)].concat()
}

/// Kind and stream of each frame.
fn kinds(mut bytes: &[u8]) -> Vec<(u8, u8)> {
    let (mut frames, mut found) = (Frames::default(), Vec::new());
    while !bytes.is_empty() {
        let (taken, part) = frames.step(bytes);
        if let Part::Head(head) = part {
            found.push((head.bytes[3], head.bytes[8]));
        }
        bytes = &bytes[taken..];
    }
    assert!(frames.between());
    found
}

#[tokio::test]
async fn frames_go_in_between_others() {
    let library = written();
    for cut in 0..library.len() {
        let (near, mut far) = duplex(4096);
        let control = Arc::new(Control::new(7, false));
        let mut wire = Wire::new(near, control.clone());
        wire.write_all(&library[..cut]).await.unwrap();
        control.go_away_at(5);
        wire.write_all(&library[cut..]).await.unwrap();
        wire.flush().await.unwrap();
        drop(wire);
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.unwrap();

        assert!(bytes.starts_with(&stream_limit(7)), "the limit is the first frame, cut at {cut}");
        let kinds = kinds(&bytes);
        let own: Vec<_> = kinds.iter().filter(|kind| kind.0 != 7).copied().collect();
        assert_eq!(own, [(4, 0), (4, 0), (1, 1), (9, 1), (0, 1)], "cut at {cut}");
        let headers = kinds.iter().position(|kind| kind.0 == 1).unwrap();
        assert_eq!(kinds[headers + 1].0, 9, "nothing within a block of headers, cut at {cut}");
        assert!(bytes.windows(17).any(|part| part == go_away(5)), "cut at {cut}");
    }
}

#[tokio::test]
async fn the_library_sees_the_acknowledgement_of_its_own_settings_only() {
    let sent =
        [vec![b'P'; PREFACE_BYTES], frame(4, 0, 0, 6), ACK.to_vec(), frame(1, 4, 1, 9), ACK.to_vec(), ACK.to_vec(), frame(0, 1, 1, 3)];
    let expected = [vec![b'P'; PREFACE_BYTES], frame(4, 0, 0, 6), frame(1, 4, 1, 9), ACK.to_vec(), frame(0, 1, 1, 3)].concat();
    let sent = sent.concat();
    for cut in 0..sent.len() {
        let (near, mut far) = duplex(4096);
        let control = Arc::new(Control::new(7, false));
        let mut wire = Wire::new(near, control.clone());
        wire.write_all(&frame(4, 0, 0, 0)).await.unwrap();
        control.limit_streams(1);
        wire.flush().await.unwrap();

        let mut read = vec![0; expected.len()];
        far.write_all(&sent[..cut]).await.unwrap();
        let mut have = 0;
        if cut > 0 {
            // What is no whole head waits for the rest.
            have = tokio::select! {
                biased;
                count = wire.read(&mut read) => count.unwrap(),
                () = std::future::ready(()) => 0,
            };
        }
        far.write_all(&sent[cut..]).await.unwrap();
        wire.read_exact(&mut read[have..]).await.unwrap();
        assert!(read == expected, "cut at {cut}");
        assert!(control.allows(1, 100) && control.allows(3, 0) && !control.allows(3, 1), "cut at {cut}");
    }
}
