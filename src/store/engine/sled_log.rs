//! Reads sled's log before sled does, to find damage that sled would ignore.
//!
//! When sled opens it replays its log. A message that does not match its checksum ends the replay of its segment, and sled goes on with the
//! next segment: the rows after the damage are missing from then on, without an error. Only in the tail, which a crash can tear, is the end
//! of the messages the end of the log; there the commit count detects missing rows (`commit_counter`). So all segments before the tail are
//! read here, as sled would read them.
//!
//! A segment may end early without damage in one case: it was free, and a crash interrupted sled while it was reusing the segment. Then it
//! holds messages with a higher segment number.
//!
//! The format is that of sled 0.34.7 (`pagecache::{logger, iterator}`): segments of equal size, each with a header (checksum, its position
//! in the log, the position up to which the log was stable), then messages (checksum, kind, length, segment number, page, content).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::{EngineError, io_error};
use super::layout;

/// Bytes of a segment's header.
const SEGMENT_HEADER_BYTES: usize = 20;

/// No message begins closer than this to the end of a segment.
const MESSAGE_HEADER_BYTES: usize = 32;

/// Stored positions are XORed with this, so that zeros are no valid header.
const POSITION_MASK: u64 = 0x7fff_ffff_ffff_ffff;

/// The kinds of messages.
const KINDS: std::ops::RangeInclusive<u8> = 1..=11;

/// The kind of the message that fills up the rest of a segment.
const FILLER: u8 = 2;

/// Bytes of a message's checksum.
const CHECKSUM_BYTES: usize = 4;

/// The number of a reused segment is at most this much higher than before: more segments than a store has.
const MAX_NUMBER_DISTANCE: u64 = 1 << 24;

/// The name of sled's page table: this, then the log position that it covers, in hex.
const TABLE_PREFIX: &str = "snap.";

/// The suffix of the name while the table is being written.
const UNFINISHED_SUFFIX: &str = ".generating";

/// The header of a segment.
struct LogSegment {
    offset: u64,
    position: u64,
    stable: u64,
}

/// Where the messages of a segment end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SegmentEnd {
    /// At the end of the segment.
    Complete,
    /// At bytes that are no message.
    Torn(usize),
}

/// Removes page tables that a crash during opening left unfinished: sled takes such a file for the newest table, and fails to open.
pub(super) fn remove_unfinished_tables(folder: &Path) -> Result<(), EngineError> {
    for name in names(folder)?.iter().filter(|name| name.starts_with(TABLE_PREFIX) && name.ends_with(UNFINISHED_SUFFIX)) {
        std::fs::remove_file(folder.join(name)).map_err(io_error)?;
    }
    Ok(())
}

/// Refuses a log with damage before its tail.
pub(super) fn check(folder: &Path, segment_bytes: usize) -> Result<(), EngineError> {
    let path = folder.join(layout::SLED_LOG);
    let file = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(io_error)?,
    };
    let size = segment_bytes as u64;
    let from = replay_start(folder)? / size * size;
    let segments = segments(folder, &file, segment_bytes)?;
    let damaged = |at: u64| damaged(folder, at);
    let stable = segments.iter().map(|segment| segment.stable).max().unwrap_or(0).max(from);
    for segment in segments.iter().filter(|segment| segment.position < stable / size * size) {
        let mut bytes = vec![0; segment_bytes];
        read_up_to(&file, &mut bytes, segment.offset).map_err(io_error)?;
        let number = segment.position / size;
        if let SegmentEnd::Torn(at) = find_end(&bytes, number)
            && !is_reused(&bytes[at..], number)
        {
            return Err(damaged(segment.offset + at as u64));
        }
    }
    Ok(())
}

/// Segments that sled will replay when it opens.
pub(super) fn segments_to_replay(folder: &Path, segment_bytes: usize) -> Result<usize, EngineError> {
    let file = File::open(folder.join(layout::SLED_LOG)).map_err(io_error)?;
    Ok(segments(folder, &file, segment_bytes)?.len())
}

/// The segments that the page table does not cover.
fn segments(folder: &Path, file: &File, segment_bytes: usize) -> Result<Vec<LogSegment>, EngineError> {
    let size = segment_bytes as u64;
    let from = replay_start(folder)? / size * size;
    let mut segments = Vec::new();
    for offset in (0..file.metadata().map_err(io_error)?.len()).step_by(segment_bytes) {
        let mut header = [0; SEGMENT_HEADER_BYTES];
        let whole = file.read_exact_at(&mut header, offset).is_ok();
        match parse_segment(offset, &header) {
            Some(segment) => segments.push(segment),
            // sled zeroes the segments that it frees.
            None if !whole || header == [0; SEGMENT_HEADER_BYTES] => {}
            None => return Err(damaged(folder, offset)),
        }
    }
    segments.retain(|segment| segment.position >= from);
    Ok(segments)
}

fn damaged(folder: &Path, at: u64) -> EngineError {
    let (path, count_file) = (folder.join(layout::SLED_LOG), folder.join(layout::COMMIT_COUNT));
    EngineError::Damaged(format!(
        "{} has a damaged byte at or soon after {at} (to open what can be read, with rows missing, delete {})",
        path.display(),
        count_file.display()
    ))
}

/// The log position up to which the page table covers the log: sled replays only what follows.
fn replay_start(folder: &Path) -> Result<u64, EngineError> {
    let position = |name: &String| u64::from_str_radix(name.strip_prefix(TABLE_PREFIX)?, 16).ok();
    Ok(names(folder)?.iter().filter_map(position).max().unwrap_or(0))
}

fn names(folder: &Path) -> Result<Vec<String>, EngineError> {
    let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>()).map_err(io_error)?;
    Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn parse_segment(offset: u64, header: &[u8; SEGMENT_HEADER_BYTES]) -> Option<LogSegment> {
    let (checksum, rest) = header.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*checksum) != !crc32fast::hash(rest) {
        return None;
    }
    let (position, stable) = rest.split_first_chunk::<8>()?;
    let unmasked = |bytes: [u8; 8]| u64::from_le_bytes(bytes) ^ POSITION_MASK;
    // The first segment of a log has a negative position here: nothing is stable yet.
    let stable = i64::from_le_bytes((*stable).try_into().ok()?) ^ POSITION_MASK as i64;
    Some(LogSegment { offset, position: unmasked(*position), stable: u64::try_from(stable).unwrap_or(0) })
}

fn find_end(bytes: &[u8], number: u64) -> SegmentEnd {
    let mut at = SEGMENT_HEADER_BYTES;
    while at + MESSAGE_HEADER_BYTES <= bytes.len() {
        match parse_message(&bytes[at..]).filter(|header| header.segment == number && header.is_valid(&bytes[at..])) {
            Some(header) if header.kind == FILLER => return SegmentEnd::Complete,
            Some(header) => at += header.header_bytes + header.content_bytes,
            None => return SegmentEnd::Torn(at),
        }
    }
    SegmentEnd::Complete
}

/// Whether these bytes contain a message of a later segment.
fn is_reused(bytes: &[u8], number: u64) -> bool {
    let is_later = |header: &MessageHeader| {
        header.segment > number && header.segment - number < MAX_NUMBER_DISTANCE && header.content_bytes < bytes.len()
    };
    (0..bytes.len()).any(|at| parse_message(&bytes[at..]).filter(is_later).is_some_and(|header| header.is_valid(&bytes[at..])))
}

struct MessageHeader {
    checksum: u32,
    kind: u8,
    /// The number of the segment that it was written to.
    segment: u64,
    header_bytes: usize,
    content_bytes: usize,
}

impl MessageHeader {
    fn is_valid(&self, bytes: &[u8]) -> bool {
        let Some(content) = bytes[self.header_bytes..].get(..self.content_bytes) else { return false };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(content);
        hasher.update(&bytes[CHECKSUM_BYTES..self.header_bytes]);
        self.checksum == !hasher.finalize()
    }
}

fn parse_message(bytes: &[u8]) -> Option<MessageHeader> {
    let (checksum, rest) = bytes.split_first_chunk::<CHECKSUM_BYTES>()?;
    let (&kind, rest) = rest.split_first()?;
    if !KINDS.contains(&kind) {
        return None;
    }
    let (content, rest) = read_number(rest)?;
    let (segment, rest) = read_number(rest)?;
    let (_page, rest) = read_number(rest)?;
    let content_bytes = usize::try_from(content).ok()?;
    Some(MessageHeader { checksum: u32::from_le_bytes(*checksum), kind, segment, header_bytes: bytes.len() - rest.len(), content_bytes })
}

/// Reads a number of variable length. Returns it and the bytes after it.
fn read_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    match first {
        0..=240 => Some((first.into(), rest)),
        241..=248 => {
            let (&low, rest) = rest.split_first()?;
            Some((240 + 256 * (u64::from(first) - 241) + u64::from(low), rest))
        }
        249 => {
            let (bytes, rest) = rest.split_first_chunk::<2>()?;
            Some((2288 + 256 * u64::from(bytes[0]) + u64::from(bytes[1]), rest))
        }
        250..=255 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first) - 247)?;
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            Some((u64::from_le_bytes(whole), rest))
        }
    }
}

fn read_up_to(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
