//! Somebody else, who must not notice what is done to the server.

use super::{Phone, Server};

/// A person with two devices, one of which follows what the other writes.
pub struct Bystander {
    writer: Phone,
    reader: Phone,
    count: u64,
}

impl Bystander {
    pub async fn of(server: &Server) -> Bystander {
        let (writer, mut reader) = (server.phone("bystander", "writer").await, server.phone("bystander", "reader").await);
        reader.open("life").await;
        Bystander { writer, reader, count: 0 }
    }

    /// A write of one device is live on the other, on the sockets that they had all along.
    pub async fn is_undisturbed(&mut self) {
        self.count += 1;
        assert_eq!(self.writer.put("life", "count", &self.count.to_string()).await, self.count);
        let (_, to, records) = self.reader.changes().await;
        assert_eq!((to, records.len()), (self.count, 1));
    }
}

/// KiB of memory that this process, server and test, has in use. Zero where the system does not say.
pub fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}
