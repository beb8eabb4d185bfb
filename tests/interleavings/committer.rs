//! The gate and the reader pool of `src/committer`.

#[path = "../../src/committer/gate.rs"]
mod gate;
#[path = "committer_primitives.rs"]
mod primitives;
#[path = "../../src/committer/read_queue.rs"]
mod read_queue;
#[path = "../../src/committer/reader_pool.rs"]
mod reader_pool;
#[allow(dead_code)]
#[path = "../../src/committer/unavailable.rs"]
mod unavailable;

pub use gate::DurabilityGate;
pub use unavailable::Unavailable;

/// The committer's end of a gate, whose methods the tests can call.
pub struct TestGateControl(gate::GateControl);

pub fn gate() -> (TestGateControl, DurabilityGate) {
    let (control, gate) = gate::gate();
    (TestGateControl(control), gate)
}

impl TestGateControl {
    pub fn begin_group(&self) {
        self.0.begin_group();
    }

    pub fn set_durable(&self) {
        self.0.set_durable();
    }

    pub fn set_failed(&self) {
        self.0.set_failed();
    }
}

/// A reader pool, of owners that are numbers, whose methods the tests can call.
pub struct TestReaderPool(reader_pool::ReaderPool<u32>);

impl TestReaderPool {
    pub fn start(threads: usize) -> TestReaderPool {
        TestReaderPool(reader_pool::ReaderPool::start(threads).unwrap_or_else(|_| unreachable!("shuttle's threads always start")))
    }

    pub fn submit(&self, owner: u32, job: impl FnOnce() + Send + 'static) {
        let job = move || {
            job();
            1
        };
        self.0.submit(owner, Box::new(job));
    }
}
