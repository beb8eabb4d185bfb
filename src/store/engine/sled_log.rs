//! Reads sled's log before sled does, to find damage that it would pass over.
//!
//! When sled opens it replays its log. A message that does not match its checksum ends the replay of that segment, and the next segment is
//! replayed all the same: what stood behind the damage is missing from then on, in silence. Only in the tail, which a crash can tear, is the
//! end of the messages the end of the log; there the count of commits tells what is missing (`commits`). So all segments before the tail are
//! read here, as sled would.
//!
//! A segment may lawfully end early in one case: it was free, and a crash came while it was being written anew. Then messages of a higher
//! segment number stand in it.
//!
//! The format is that of sled 0.34.7 (`pagecache::{logger, iterator}`): segments of equal size, each with a header (checksum, its position in
//! the log, the position up to which the log was stable), then messages (checksum, kind, length, segment number, page, content).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::sled_engine::DATA_FILE;
use super::{EngineError, commits, io};

/// Bytes of a segment's header.
const SEGMENT_HEAD: usize = 20;

/// Closer than this to the end of a segment no message begins.
const MESSAGE_HEAD: usize = 32;

/// What a position is stored xored with, so that zeros are no header.
const POSITION_MASK: u64 = 0x7fff_ffff_ffff_ffff;

/// Kinds of messages: the lowest, the one that fills up a segment, the highest.
const KINDS: std::ops::RangeInclusive<u8> = 1..=11;
const FILLER: u8 = 2;

/// Bytes of a message's checksum.
const CHECKSUM: usize = 4;

/// A segment is written anew with a number that is at most this much higher: more segments than a store has.
const LATER: u64 = 1 << 24;

/// The name of sled's table of pages begins with this, and goes on with the position in the log up to which it goes, in hex.
const TABLE: &str = "snap.";

/// What follows the name while the table is being written.
const UNFINISHED: &str = ".generating";

/// A segment as its header says.
struct Segment {
    offset: u64,
    position: u64,
    stable: u64,
}

/// Where the messages of a segment end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Where they should.
    Full,
    /// At something that is no message.
    Torn(usize),
}

/// Removes what a crash while opening left: sled takes an unfinished table for the newest one, and does not open again.
pub(super) fn clear_unfinished(folder: &Path) -> Result<(), EngineError> {
    for name in names(folder)?.iter().filter(|name| name.starts_with(TABLE) && name.ends_with(UNFINISHED)) {
        std::fs::remove_file(folder.join(name)).map_err(io)?;
    }
    Ok(())
}

/// Refuses a log with damage before its tail.
pub(super) fn check(folder: &Path, segment_bytes: usize) -> Result<(), EngineError> {
    let path = folder.join(DATA_FILE);
    let file = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(io)?,
    };
    let size = segment_bytes as u64;
    let from = replayed_from(folder)? / size * size;
    let segments = segments(folder, &file, segment_bytes)?;
    let damaged = |at: u64| damaged(folder, at);
    let stable = segments.iter().map(|segment| segment.stable).max().unwrap_or(0).max(from);
    for segment in segments.iter().filter(|segment| segment.position < stable / size * size) {
        let mut bytes = vec![0; segment_bytes];
        read_at_most(&file, &mut bytes, segment.offset).map_err(io)?;
        let number = segment.position / size;
        if let End::Torn(at) = walk(&bytes, number)
            && !was_written_anew(&bytes[at..], number)
        {
            return Err(damaged(segment.offset + at as u64));
        }
    }
    Ok(())
}

/// Segments that sled will replay when it opens.
pub(super) fn segments_to_replay(folder: &Path, segment_bytes: usize) -> Result<usize, EngineError> {
    let file = File::open(folder.join(DATA_FILE)).map_err(io)?;
    Ok(segments(folder, &file, segment_bytes)?.len())
}

/// The segments that are not in the table yet.
fn segments(folder: &Path, file: &File, segment_bytes: usize) -> Result<Vec<Segment>, EngineError> {
    let size = segment_bytes as u64;
    let from = replayed_from(folder)? / size * size;
    let mut segments = Vec::new();
    for offset in (0..file.metadata().map_err(io)?.len()).step_by(segment_bytes) {
        let mut head = [0; SEGMENT_HEAD];
        let whole = file.read_exact_at(&mut head, offset).is_ok();
        match segment(offset, &head) {
            Some(segment) => segments.push(segment),
            // Sled zeroes what it frees.
            None if !whole || head == [0; SEGMENT_HEAD] => {}
            None => return Err(damaged(folder, offset)),
        }
    }
    segments.retain(|segment| segment.position >= from);
    Ok(segments)
}

fn damaged(folder: &Path, at: u64) -> EngineError {
    let (path, accepted) = (folder.join(DATA_FILE), folder.join(commits::FILE));
    EngineError::Damaged(format!(
        "{} has a damaged byte at or soon after {at} (to open all the same what can be read, with rows missing, delete {})",
        path.display(),
        accepted.display()
    ))
}

/// The position up to which sled has its pages in a table, and will not replay the log.
fn replayed_from(folder: &Path) -> Result<u64, EngineError> {
    let position = |name: &String| u64::from_str_radix(name.strip_prefix(TABLE)?, 16).ok();
    Ok(names(folder)?.iter().filter_map(position).max().unwrap_or(0))
}

fn names(folder: &Path) -> Result<Vec<String>, EngineError> {
    let entries = std::fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>()).map_err(io)?;
    Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn segment(offset: u64, head: &[u8; SEGMENT_HEAD]) -> Option<Segment> {
    let (checksum, rest) = head.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*checksum) != !crc32fast::hash(rest) {
        return None;
    }
    let (position, stable) = rest.split_first_chunk::<8>()?;
    let unmasked = |bytes: [u8; 8]| u64::from_le_bytes(bytes) ^ POSITION_MASK;
    // The first segment of all says that nothing is stable yet, by a negative position.
    let stable = i64::from_le_bytes((*stable).try_into().ok()?) ^ POSITION_MASK as i64;
    Some(Segment { offset, position: unmasked(*position), stable: u64::try_from(stable).unwrap_or(0) })
}

fn walk(bytes: &[u8], number: u64) -> End {
    let mut at = SEGMENT_HEAD;
    while at + MESSAGE_HEAD <= bytes.len() {
        match head(&bytes[at..]).filter(|head| head.number == number && head.is_whole(&bytes[at..])) {
            Some(head) if head.kind == FILLER => return End::Full,
            Some(head) => at += head.bytes + head.content,
            None => return End::Torn(at),
        }
    }
    End::Full
}

/// Whether a message of a later segment stands somewhere in these bytes.
fn was_written_anew(bytes: &[u8], number: u64) -> bool {
    let later = |head: &Head| head.number > number && head.number - number < LATER && head.content < bytes.len();
    (0..bytes.len()).any(|at| head(&bytes[at..]).filter(later).is_some_and(|head| head.is_whole(&bytes[at..])))
}

/// What a message says of itself.
struct Head {
    checksum: u32,
    kind: u8,
    number: u64,
    /// Bytes of this, and of what follows.
    bytes: usize,
    content: usize,
}

impl Head {
    fn is_whole(&self, bytes: &[u8]) -> bool {
        let Some(content) = bytes[self.bytes..].get(..self.content) else { return false };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(content);
        hasher.update(&bytes[CHECKSUM..self.bytes]);
        self.checksum == !hasher.finalize()
    }
}

fn head(bytes: &[u8]) -> Option<Head> {
    let (checksum, rest) = bytes.split_first_chunk::<CHECKSUM>()?;
    let (&kind, rest) = rest.split_first()?;
    if !KINDS.contains(&kind) {
        return None;
    }
    let (content, rest) = number(rest)?;
    let (segment, rest) = number(rest)?;
    let (_page, rest) = number(rest)?;
    let content = usize::try_from(content).ok()?;
    Some(Head { checksum: u32::from_le_bytes(*checksum), kind, number: segment, bytes: bytes.len() - rest.len(), content })
}

/// A number of variable length, and what follows it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
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

fn read_at_most(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
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
