//! Devices of the server under test.

use std::time::Duration;

use driftless_protocol::{ServerMessage, Value};

use super::{ComparedEvent, ComparedEventKind, ComparedFleet};
use crate::context::TestRun;
use crate::fleet::{Fleet, FleetEvent, FleetEventKind, change};

pub struct DriftlessFleet {
    fleet: Fleet,
    events: Vec<FleetEvent>,
}

impl DriftlessFleet {
    /// Connects all devices.
    pub fn connect(run: &mut TestRun, prefix: &str, persons: u32, devices_per_person: u32) -> Result<DriftlessFleet, String> {
        let mut fleet = run.fleet(prefix, persons * devices_per_person, devices_per_person)?;
        run.connect_all(&mut fleet)?;
        Ok(DriftlessFleet { fleet, events: Vec::new() })
    }
}

impl ComparedFleet for DriftlessFleet {
    fn write(&mut self, device: u32, key: &str, value: &Value) {
        let base = self.fleet.version(device);
        self.fleet.write(device, vec![change(key, value.clone()).with_base(base)]);
    }

    fn version(&self, device: u32) -> u64 {
        self.fleet.version(device)
    }

    fn disconnect(&mut self, device: u32) {
        self.fleet.disconnect(device);
    }

    fn reconnect_at(&mut self, device: u32, version: u64) -> Result<(), String> {
        self.fleet.set_version(device, version);
        self.fleet.connect(device);
        Ok(())
    }

    fn poll(&mut self, wait: Duration, events: &mut Vec<ComparedEvent>) -> Result<(), String> {
        self.fleet.poll_events(wait, &mut self.events)?;
        for FleetEvent { device, at, kind } in self.events.drain(..) {
            let kind = match kind {
                FleetEventKind::Received(ServerMessage::Written { version, .. }) => {
                    self.fleet.set_written_version(device, version);
                    ComparedEventKind::Written
                }
                FleetEventKind::Received(ServerMessage::Changes { .. }) => ComparedEventKind::Seen,
                FleetEventKind::Open { .. } => ComparedEventKind::CaughtUp,
                other => return Err(format!("unexpected event at device {device}: {other:?}")),
            };
            events.push(ComparedEvent { device, at, kind });
        }
        Ok(())
    }
}
