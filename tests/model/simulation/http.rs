//! What devices do over HTTP: reading changes, writing, listing datasets.

use driftless_protocol::{Position, ServerMessage};

use super::{Simulation, sorted};
use crate::device::Transport;
use crate::reference::{PatchAnswer, StreamStart, bytes, record_state};
use crate::script::{DATASETS, Edit};

impl Simulation {
    /// Reads the changes after a position over HTTP, page by page, and compares them.
    pub(super) async fn read_by_http(&mut self, at: usize, dataset: usize, version: u64) {
        let device = &self.devices[at];
        let model = self.reference.dataset(device.person, dataset);
        let version = version % (model.version() + 1);
        let position = self.epoch.clone().filter(|_| !version.is_multiple_of(5)).map(|epoch| Position { epoch, version });
        let start = self.reference.stream_start(device.person, dataset, self.epoch.as_ref(), position.as_ref());
        let http = self.http(device.person, device.name.as_str());
        let mut query = position.map_or(String::new(), |Position { epoch, version }| format!("?epoch={epoch}&version={version}"));
        let (mut expected_page, expected) = match start {
            StreamStart::Snapshot => ((0, false), model.live()),
            StreamStart::After(version) => ((version, false), model.after(version)),
            StreamStart::Reset { .. } => ((0, true), model.live()),
        };
        let mut records = Vec::new();
        loop {
            let answer = http.get(&format!("/v1/datasets/{}/changes{query}", DATASETS[dataset])).await;
            let page: ServerMessage = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
            let ServerMessage::Changes { epoch, from, to, reset, more, fresh_until, records: some, .. } = page else { panic!("{page:?}") };
            assert_eq!((from, reset), expected_page, "pages follow each other");
            let is_snapshot_page = more && !matches!(start, StreamStart::After(_));
            assert_eq!(fresh_until, is_snapshot_page.then(|| model.version()), "fresh_until of a snapshot's page");
            records.extend(some.iter().map(record_state));
            let fresh_until_query = fresh_until.map_or(String::new(), |version| format!("&fresh_until={version}"));
            (expected_page, query) = ((to, false), format!("?epoch={epoch}&version={to}{fresh_until_query}"));
            if !more {
                break;
            }
        }
        assert_eq!(expected_page.0, model.version());
        assert_eq!(sorted(records), sorted(expected), "the changes over HTTP, {start:?}");
    }

    pub(super) async fn write_by_http(&mut self, at: usize, dataset: usize, edits: &[Edit], writes_again: bool) {
        let http = self.http(self.devices[at].person, self.devices[at].name.as_str());
        let device = &mut self.devices[at];
        let is_present = device.replicas[dataset].epoch().is_none_or(|epoch| Some(epoch) == self.epoch.as_ref());
        if !device.outbox.is_empty() || !is_present {
            return;
        }
        device.write(dataset, edits, writes_again);
        // The outbox gives no patch while the device's socket waits for the dataset's first page.
        let Some(sent) = device.next_patch() else { return };
        let body = format!("{{\"id\":{},\"changes\":{}}}", sent.id, serde_json::to_string(&sent.changes).unwrap());
        let answer = http.post(&format!("/v1/datasets/{}/write", DATASETS[dataset]), &body).await;
        let (answer, records) = match serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}")) {
            ServerMessage::Written { version, records, .. } => {
                (PatchAnswer::Written { version, results: records.iter().map(record_state).collect() }.by_key(), records)
            }
            ServerMessage::Conflict { records, .. } => {
                (PatchAnswer::Conflict(records.iter().map(record_state).collect()).by_key(), records)
            }
            ServerMessage::Refused { code, .. } => (PatchAnswer::Refused(code), Vec::new()),
            other => panic!("{other:?}"),
        };
        let expected = self.reference.write(device.person, &device.name, &sent).by_key();
        assert_eq!(answer, expected, "the answer over HTTP to {} for {sent:?}", device.name);
        device.apply_answer(Transport::Http, &sent, &answer, records).await;
        if let (PatchAnswer::Written { version, .. }, true) = (answer, device.acks) {
            let acked = http.post(&format!("/v1/datasets/{}/ack", DATASETS[dataset]), &format!("{{\"version\":{version}}}")).await;
            assert_eq!(acked.json()["acknowledged"].as_u64(), Some(version));
            self.reference.acknowledge(device.person, &device.name, dataset, version);
        }
    }

    /// Compares the list of a person's datasets.
    pub(super) async fn compare_list(&mut self, person: usize) {
        let answer = self.http(person, "lister").get("/v1/datasets").await.json();
        let listed: Vec<_> = answer["datasets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (&one["dataset"], &one["version"], &one["records"], &one["bytes"]))
            .map(|(n, v, r, b)| {
                (n.as_str().unwrap().to_owned(), v.as_u64().unwrap(), r.as_u64().unwrap() as usize, b.as_u64().unwrap() as usize)
            })
            .collect();
        let expected = |dataset: usize| {
            let model = self.reference.dataset(person, dataset);
            (model.version() > 0).then(|| (DATASETS[dataset].to_owned(), model.version(), model.live().len(), bytes(&model.live())))
        };
        let mut expected: Vec<_> = (0..DATASETS.len()).filter_map(expected).collect();
        expected.sort();
        assert_eq!(listed, expected);
    }
}
