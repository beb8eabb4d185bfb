//! Sessions of an uninvolved user: a test attacks the server and then checks that these were not disturbed.

use super::{TestDevice, TestServer};

/// A user with two devices: one writes, the other is subscribed to the dataset.
pub struct Bystander {
    writer: TestDevice,
    reader: TestDevice,
    count: u64,
}

impl Bystander {
    pub async fn connect(server: &TestServer) -> Bystander {
        let (writer, mut reader) = (server.device("bystander", "writer").await, server.device("bystander", "reader").await);
        reader.open("life").await;
        Bystander { writer, reader, count: 0 }
    }

    /// Asserts that a write of one device reaches the other on the sockets that were open before the attack.
    pub async fn assert_undisturbed(&mut self) {
        self.count += 1;
        assert_eq!(self.writer.put("life", "count", &self.count.to_string()).await, self.count);
        let (_, to, records) = self.reader.receive_changes().await;
        assert_eq!((to, records.len()), (self.count, 1));
    }
}

/// Resident memory of this process, which is server and test, in KiB. 0 where the system does not report it.
pub fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}
