//! The reader pool of `src/committer`.

#[path = "committer_primitives.rs"]
mod primitives;
#[path = "../../src/committer/reader_pool.rs"]
mod reader_pool;
/// A reader pool whose methods the tests can call.
pub struct TestReaderPool(reader_pool::ReaderPool);

impl TestReaderPool {
    pub fn start(threads: usize) -> TestReaderPool {
        TestReaderPool(reader_pool::ReaderPool::start(threads).unwrap_or_else(|_| unreachable!("shuttle's threads always start")))
    }

    pub fn submit(&self, job: impl FnOnce() + Send + 'static) {
        self.0.submit(Box::new(job));
    }
}
