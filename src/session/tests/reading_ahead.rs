//! The page that is read before its turn: when its read begins, that no page is read twice, and what becomes of one that is not sent.

use driftless_protocol::Position;

use super::memory::until;
use super::*;
use crate::limits::MemoryUse;

/// Records of a dataset, and the bytes of each: its pages have one record.
const RECORDS: u64 = 12;
const VALUE_BYTES: usize = 100_000;

/// What each page costs the readers beside the bytes of its values, at most.
const PAGE_OVERHEAD_BYTES: u64 = 2_000;

impl SessionFixture {
    /// What the readers have read so far, in bytes.
    fn bytes_read(&self) -> u64 {
        let text = self.metrics.text();
        let count = text.lines().find_map(|line| line.strip_prefix("driftless_reader_bytes_total ")).expect("a counter");
        count.parse().expect("a number")
    }

    fn answer_bytes(&self, who: &Principal) -> usize {
        self.sessions.memory().identity_held_bytes(who.identity.as_str(), MemoryUse::Answers)
    }

    /// Writes a dataset of several pages with patches from `first` on.
    async fn fill(&self, writer: &Principal, dataset: &DatasetName, first: u64) {
        for id in first..first + RECORDS {
            let change = Change::new(Key::new(&format!("k{id}")).expect("a key"), Op::Put, Value::from("x".repeat(VALUE_BYTES)));
            let request = WriteRequest { id, changes: vec![change], offer: false };
            self.sync.write(writer, dataset.clone(), request, 0).await.expect("is queued").await.expect("is answered").expect("is written");
        }
    }
}

fn datasets<const N: usize>() -> [DatasetName; N] {
    std::array::from_fn(|n| DatasetName::new(&format!("d{n}")).expect("a name"))
}

#[tokio::test]
async fn the_next_page_is_read_before_the_device_has_taken_the_last_one() {
    let fixture = fixture();
    let [dataset] = datasets();
    fixture.fill(&fixture.principal("writer").await, &dataset, 1).await;
    let mut web = fixture.connect("phone").await;
    let before = fixture.bytes_read();
    send(&mut web, &ClientMessage::Open { dataset, position: None }).await;
    // Of the first page the pipe holds some bytes, and the device reads none.
    until(|| fixture.bytes_read() - before > 2 * VALUE_BYTES as u64).await;
}

#[tokio::test]
async fn no_page_is_read_twice_however_many_datasets_a_device_catches_up_with() {
    let fixture = fixture();
    let (writer, datasets) = (fixture.principal("writer").await, datasets::<3>());
    for (n, dataset) in (0..).zip(&datasets) {
        fixture.fill(&writer, dataset, 1 + n * RECORDS).await;
    }
    let mut web = fixture.connect_over("phone", 64 * 1024).await;
    let before = fixture.bytes_read();
    for dataset in &datasets {
        send(&mut web, &ClientMessage::Open { dataset: dataset.clone(), position: None }).await;
    }
    let mut received = 0;
    while received < datasets.len() as u64 * RECORDS {
        let ServerMessage::Changes { records, .. } = receive(&mut web).await else { panic!("not changes") };
        received += records.len() as u64;
    }
    let (read, expected) = (fixture.bytes_read() - before, received * VALUE_BYTES as u64);
    let most = expected + received * PAGE_OVERHEAD_BYTES;
    assert!((expected..most).contains(&read), "{read} bytes were read, {expected} were sent");
    until(|| fixture.answer_bytes(&writer) == 0).await;
}

/// What a session has read ahead is memory that others wait for, so it must not outlast the catch-up for which it was read.
#[tokio::test]
async fn a_page_that_is_not_needed_any_more_is_given_back() {
    let fixture = fixture();
    let (writer, [dataset]) = (fixture.principal("writer").await, datasets());
    fixture.fill(&writer, &dataset, 1).await;
    let mut web = fixture.connect_over("phone", 64 * 1024).await;
    let newest = Position { epoch: fixture.sync.epoch().clone(), version: RECORDS };
    // The second message is there before the first one's next page is sent.
    send(&mut web, &ClientMessage::Open { dataset: dataset.clone(), position: None }).await;
    send(&mut web, &ClientMessage::Open { dataset: dataset.clone(), position: Some(newest) }).await;
    loop {
        let ServerMessage::Changes { from, to, .. } = receive(&mut web).await else { panic!("not changes") };
        if from == RECORDS {
            assert_eq!(to, RECORDS);
            break;
        }
    }
    until(|| fixture.answer_bytes(&writer) == 0).await;
}
