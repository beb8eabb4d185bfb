//! The disk's own limit: nothing can be faster than appending the same bytes to one file and waiting for them.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::report::Measured;

/// The file begins anew when it has this many bytes: it should not fill the disk.
const FILE_BYTES: usize = 1 << 30;

/// A file that groups are appended to.
pub struct Raw {
    file: File,
    written: usize,
    patch_bytes: usize,
    bytes: Vec<u8>,
}

impl Raw {
    pub fn new(path: &Path, patch_bytes: usize) -> Raw {
        // Not all the same, in case something below compresses.
        let bytes = (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        Raw { file: File::create(path).unwrap(), written: 0, patch_bytes, bytes }
    }

    /// Groups of so many patches, one after the other.
    pub fn slice(&mut self, group: usize, time: Duration) -> Measured {
        let group_bytes = (group * self.patch_bytes).min(self.bytes.len());
        let mut done = Measured::default();
        let begun = Instant::now();
        while begun.elapsed() < time {
            let start = Instant::now();
            self.file.write_all(&self.bytes[..group_bytes]).unwrap();
            self.file.sync_data().unwrap();
            done.waits.push(start.elapsed());
            done.groups += 1;
            done.patches += group as u64;
            self.written += group_bytes;
            if self.written > FILE_BYTES {
                self.begin_anew();
            }
        }
        done.time = begun.elapsed();
        done
    }

    fn begin_anew(&mut self) {
        use std::io::Seek;
        self.file.set_len(0).unwrap();
        self.file.rewind().unwrap();
        self.written = 0;
    }
}
