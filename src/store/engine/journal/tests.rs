use super::fuzzing::rows_of;
use super::*;
use crate::store::engine::batch::Bytes;

const HEADER_BYTES: usize = 28;

/// Bytes of each record: its header and its three rows.
const RECORD_BYTES: usize = 16 + (8 + 1 + 20) + (8 + 4 + 1) + (8 + 1);

fn rows(number: u8) -> Vec<(Bytes, Option<Bytes>)> {
    vec![(vec![number], Some(vec![number; 20])), (b"head".to_vec(), Some(vec![number])), (vec![number.wrapping_sub(1)], None)]
}

fn append(journal: &mut Journal, number: u8) {
    let rows = rows(number);
    journal.append(rows.iter().map(|(key, row)| (key.as_slice(), row.as_deref()))).expect("appends");
}

fn written(folder: &Path, numbers: std::ops::Range<u8>) -> PathBuf {
    let path = folder.join("journal");
    let (mut journal, contents) = Journal::open(path.clone()).expect("opens");
    assert!(contents.memtable.is_empty() && journal.is_new());
    journal.recycle(1, 1 << 20).expect("recycles");
    numbers.for_each(|number| append(&mut journal, number));
    path
}

/// A file of the version before records began blocks.
fn write_unaligned(path: &Path, numbers: std::ops::Range<u8>) {
    let salt = 0x0102_0304_0506_0708_u64.to_be_bytes();
    let mut file = [b"DRIFTJ01".as_slice(), &1u64.to_be_bytes(), &salt].concat();
    file.extend_from_slice(&crc32fast::hash(&file).to_be_bytes());
    for number in numbers {
        let mut record = Vec::new();
        for (key, row) in rows(number) {
            record.extend_from_slice(&(key.len() as u32).to_be_bytes());
            record.extend_from_slice(&key);
            record.extend_from_slice(&row.as_ref().map_or(u32::MAX, |row| row.len() as u32).to_be_bytes());
            record.extend_from_slice(&row.unwrap_or_default());
        }
        let length = (record.len() as u32).to_be_bytes();
        let checked = [(file.len() as u64).to_be_bytes().as_slice(), &length, &record].concat();
        file.extend_from_slice(&[salt.as_slice(), &length, &crc32fast::hash(&checked).to_be_bytes(), &record].concat());
    }
    std::fs::write(path, file).expect("writes");
}

/// The bytes of a file up to the end of its last record.
fn used_bytes(path: &Path) -> Bytes {
    let end = Journal::open(path.to_owned()).expect("opens").0.length();
    let mut whole = std::fs::read(path).expect("reads");
    assert!(whole[end as usize..].iter().all(|byte| *byte == 0) && whole.len() as u64 <= 2 * end);
    whole.truncate(end as usize);
    whole
}

fn memtable(numbers: std::ops::Range<u8>) -> Memtable {
    let mut memtable = Memtable::default();
    numbers.flat_map(rows).for_each(|(key, row)| memtable.rows.set(&key, row.as_deref()));
    memtable
}

#[test]
fn a_reopened_journal_has_its_records_and_appends_after_them() {
    let folder = tempfile::tempdir().expect("folder");
    let path = written(folder.path(), 1..4);
    let (mut journal, found) = Journal::open(path.clone()).expect("opens");
    assert_eq!(
        (rows_of(&found.memtable), found.memtable.memory_bytes(), journal.generation()),
        (rows_of(&memtable(1..4)), memtable(1..4).memory_bytes(), 1)
    );
    append(&mut journal, 4);
    assert_eq!(rows_of(&Journal::open(path.clone()).expect("opens").1.memtable), rows_of(&memtable(1..5)));
    journal.recycle(3, 1 << 20).expect("recycles");
    let (journal, found) = Journal::open(path.clone()).expect("opens");
    assert!(found.memtable.is_empty() && journal.generation() == 3, "records from before the recycling are not read");
    assert!(path.metadata().expect("is there").len() > BLOCK_BYTES as u64);
}

#[test]
fn no_write_touches_the_blocks_of_earlier_records() {
    let folder = tempfile::tempdir().expect("folder");
    let path = written(folder.path(), 1..1);
    let (mut journal, _) = Journal::open(path.clone()).expect("opens");
    let mut ends = vec![journal.length()];
    for number in 1..20 {
        // Now and then more than a block.
        let row = vec![number; usize::from(number % 4) * 3_000];
        let before = std::fs::read(&path).expect("reads");
        journal.append([(b"key".as_slice(), Some(row.as_slice()))].into_iter()).expect("appends");
        let after = std::fs::read(&path).expect("reads");
        let end = *ends.last().expect("one") as usize;
        assert!(before[..end] == after[..end] && after[end..journal.length() as usize].iter().any(|byte| *byte != 0), "{number}");
        ends.push(journal.length());
    }
    assert!(ends.iter().all(|end| end.is_multiple_of(BLOCK_BYTES as u64)));
}

/// Flips each byte in turn: only damage in the last record is taken for a torn write, and drops that record; anywhere else it is
/// refused. The zeros behind a record are not read.
fn check_flips_and_cuts(path: &Path, alignment: usize) {
    let whole = used_bytes(path);
    let starts: Vec<usize> =
        (0..3).map(|n| HEADER_BYTES.next_multiple_of(alignment) + n * RECORD_BYTES.next_multiple_of(alignment)).collect();
    let last = starts[2];
    assert_eq!(whole.len(), last + RECORD_BYTES.next_multiple_of(alignment));
    for at in 0..whole.len() {
        let is_read = at < HEADER_BYTES || starts.iter().any(|start| (*start..start + RECORD_BYTES).contains(&at));
        // Of the zeros, some are enough.
        if !is_read && !at.is_multiple_of(97) {
            continue;
        }
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        std::fs::write(path, &flipped).expect("writes");
        match Journal::open(path.to_owned()) {
            Ok((_, found)) if is_read => assert!(at >= last && rows_of(&found.memtable) == rows_of(&memtable(1..3)), "byte {at}"),
            Ok((_, found)) => assert!(rows_of(&found.memtable) == rows_of(&memtable(1..4)), "byte {at}"),
            Err(EngineError::Damaged(why)) => assert!(is_read && at < last && why.contains("from byte"), "byte {at}: {why}"),
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    for length in (1..whole.len()).filter(|length| length % BLOCK_BYTES <= RECORD_BYTES || length.is_multiple_of(97)) {
        std::fs::write(path, &whole[..length]).expect("writes");
        match Journal::open(path.to_owned()) {
            Ok((journal, found)) => {
                let records = starts.iter().filter(|start| *start + RECORD_BYTES <= length).count();
                assert_eq!(rows_of(&found.memtable), rows_of(&memtable(1..1 + records as u8)), "cut at {length}");
                assert_eq!(journal.length() as usize, starts.get(records).copied().unwrap_or(whole.len()));
            }
            Err(error) => assert!(length < HEADER_BYTES && matches!(error, EngineError::Damaged(_)), "cut at {length}: {error}"),
        }
    }
}

#[test]
fn no_damaged_byte_is_ignored() {
    let folder = tempfile::tempdir().expect("folder");
    check_flips_and_cuts(&written(folder.path(), 1..4), BLOCK_BYTES);
}

#[test]
fn no_damaged_byte_of_an_earlier_versions_file_is_ignored() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("journal");
    write_unaligned(&path, 1..4);
    check_flips_and_cuts(&path, 1);
}

#[test]
fn an_earlier_versions_file_is_read_appended_to_and_recycled() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("journal");
    write_unaligned(&path, 1..4);
    let (mut journal, found) = Journal::open(path.clone()).expect("opens");
    assert_eq!((rows_of(&found.memtable), journal.length() as usize), (rows_of(&memtable(1..4)), HEADER_BYTES + 3 * RECORD_BYTES));
    append(&mut journal, 4);
    let mut as_before = std::fs::read(&path).expect("reads");
    as_before.truncate(HEADER_BYTES + 4 * RECORD_BYTES);
    write_unaligned(&path, 1..5);
    assert_eq!(std::fs::read(&path).expect("reads"), as_before);
    journal.recycle(3, 1 << 20).expect("recycles");
    append(&mut journal, 5);
    assert!(std::fs::read(&path).expect("reads").starts_with(b"DRIFTJ02"));
    assert_eq!(rows_of(&Journal::open(path).expect("opens").1.memtable), rows_of(&memtable(5..6)));
}

#[test]
fn a_new_record_overwrites_a_torn_one() {
    let folder = tempfile::tempdir().expect("folder");
    let path = written(folder.path(), 1..4);
    let whole = used_bytes(&path);
    std::fs::write(&path, &whole[..whole.len() - BLOCK_BYTES + RECORD_BYTES - 3]).expect("writes");
    let (mut journal, _) = Journal::open(path.clone()).expect("opens");
    append(&mut journal, 7);
    let mut expected = memtable(1..3);
    rows(7).into_iter().for_each(|(key, row)| expected.rows.set(&key, row.as_deref()));
    assert_eq!(rows_of(&Journal::open(path).expect("opens").1.memtable), rows_of(&expected));
}

/// What a loss of power leaves of a file whose first header was being written.
#[test]
fn a_file_of_zeros_is_as_good_as_a_missing_one() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("journal");
    for length in [0, 1, HEADER_BYTES, BLOCK_BYTES, 3 * BLOCK_BYTES + 100] {
        std::fs::write(&path, vec![0; length]).expect("writes");
        let (mut journal, found) = Journal::open(path.clone()).expect("opens");
        assert!(journal.is_new() && journal.generation() == 0 && found.memtable.is_empty(), "{length}");
        journal.recycle(1, 1 << 20).expect("recycles");
        append(&mut journal, 1);
        assert_eq!(rows_of(&Journal::open(path.clone()).expect("opens").1.memtable), rows_of(&memtable(1..2)), "{length}");
    }
}

#[test]
fn a_file_doubles_when_it_grows_and_a_recycled_one_is_cut() {
    const BLOCK: u64 = BLOCK_BYTES as u64;
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("journal");
    let (mut journal, _) = Journal::open(path.clone()).expect("opens");
    journal.recycle(1, 0).expect("recycles");
    let length = || path.metadata().expect("is there").len();
    let append = |journal: &mut Journal, bytes: usize| {
        let row = vec![7; bytes];
        journal.append(std::iter::once((b"k".as_slice(), Some(row.as_slice())))).expect("appends");
    };
    assert_eq!(length(), BLOCK, "the header");
    // Each takes a block.
    let lengths = [1; 4].map(|bytes| {
        append(&mut journal, bytes);
        length()
    });
    assert_eq!(lengths, [4, 4, 4, 10].map(|blocks| blocks * BLOCK));
    assert!(journal.buffer.capacity() > 0, "is used again");
    append(&mut journal, 2 * BUFFER_BYTES);
    assert_eq!(length(), journal.length() + MAX_GROWTH_BYTES);
    assert_eq!(journal.buffer.capacity(), 0, "is freed");
    for (generation, kept, expected) in [(2, 1 << 30, length()), (3, 5 * BLOCK, 5 * BLOCK), (4, 0, BLOCK)] {
        journal.recycle(generation, kept).expect("recycles");
        assert_eq!(length(), expected, "of {kept}");
        if generation == 3 {
            (0..4).for_each(|_| append(&mut journal, 1));
            assert_eq!(length(), 5 * BLOCK, "there is space for four");
        }
    }
}
