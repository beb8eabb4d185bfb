//! The reader pool of `src/committer`.

#[path = "committer_primitives.rs"]
mod primitives;
#[path = "../../src/committer/read_queue.rs"]
mod read_queue;
#[path = "../../src/committer/reader_pool.rs"]
mod reader_pool;
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
