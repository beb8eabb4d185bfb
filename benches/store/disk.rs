//! The disk's own limit: no engine can be faster than appending the same bytes to one file and syncing it.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::report::{Measurement, table};
use crate::settings::{SIZES, slice};

/// Slices of each side when they alternate.
const TURNS: usize = 5;

/// The file is truncated when it has this many bytes, so that it does not fill the disk.
const FILE_BYTES: usize = 1 << 30;

/// Appends groups to a file.
pub struct DiskBaseline {
    file: File,
    written_bytes: usize,
    patch_bytes: usize,
    bytes: Vec<u8>,
}

impl DiskBaseline {
    pub fn new(path: &Path, patch_bytes: usize) -> DiskBaseline {
        // Not all the same, in case something below compresses.
        let bytes = (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        DiskBaseline { file: File::create(path).unwrap(), written_bytes: 0, patch_bytes, bytes }
    }

    /// Writes groups of `group` patches, one after the other, for some time.
    pub fn slice(&mut self, group: usize, time: Duration) -> Measurement {
        let group_bytes = (group * self.patch_bytes).min(self.bytes.len());
        let mut done = Measurement::default();
        let begun = Instant::now();
        while begun.elapsed() < time {
            let start = Instant::now();
            self.file.write_all(&self.bytes[..group_bytes]).unwrap();
            self.file.sync_data().unwrap();
            done.waits.push(start.elapsed());
            done.groups += 1;
            done.patches += group as u64;
            self.written_bytes += group_bytes;
            if self.written_bytes > FILE_BYTES {
                self.truncate();
            }
        }
        done.time = begun.elapsed();
        done
    }

    /// Alternates slices of `writer` with slices of the disk. The disk gets the group size that the writer just reached. Returns the
    /// measurements of the writer and of the disk.
    pub fn alternate_with(&mut self, mut writer: impl FnMut(Duration) -> Measurement) -> (Measurement, Measurement) {
        // The first slice is a warm-up and is not counted.
        writer(slice() / 2);
        let (mut written, mut limit) = (Measurement::default(), Measurement::default());
        for _ in 0..TURNS {
            let done = writer(slice());
            limit.add(self.slice(done.group().round().max(1.0) as usize, slice()));
            written.add(done);
        }
        (written, limit)
    }

    fn truncate(&mut self) {
        use std::io::Seek;
        self.file.set_len(0).unwrap();
        self.file.rewind().unwrap();
        self.written_bytes = 0;
    }
}

/// Prints one table, with a line for each group size.
pub fn measure(baseline: &mut DiskBaseline) {
    println!("\nthe disk: append a group's rows, fdatasync");
    table(&["group", "groups/s", "patches/s", "p50 us", "p99 us"]);
    for size in SIZES {
        let done = baseline.slice(size, slice() * 2);
        println!("{}", done.row(&[size.to_string(), done.per_second(done.groups), done.per_second(done.patches)]));
    }
}
