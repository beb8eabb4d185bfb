//! Threads of their own for what takes milliseconds of a processor: hashing passwords, SRP and RSA. Sockets are served by other threads, so a storm of
//! sign-ins delays sign-ins.

use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

/// Jobs that wait at most. With 20 ms each on one thread the last one waits for little more than a second; the one after it is refused.
const QUEUED_JOBS: usize = 64;

/// Threads at most: each hash takes 19 MiB while it is computed.
const MOST_THREADS: usize = 8;

type WorkerJob = Box<dyn FnOnce() + Send>;

/// A bounded number of threads with a bounded queue. Clones share them; they end when the last clone is dropped.
#[derive(Clone)]
pub struct Workers {
    queue: SyncSender<WorkerJob>,
}

/// The job was not done: as many jobs wait as may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overloaded;

impl fmt::Display for Overloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many sign-ins at once")
    }
}

impl std::error::Error for Overloaded {}

impl Workers {
    /// Starts the threads: one fewer than there are processors, which are left to sockets.
    ///
    /// # Errors
    /// The system refused a thread.
    pub fn start() -> std::io::Result<Workers> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Workers::with(processors.saturating_sub(1).clamp(1, MOST_THREADS), QUEUED_JOBS)
    }

    pub(super) fn with(threads: usize, queued: usize) -> std::io::Result<Workers> {
        let (queue, jobs) = sync_channel::<WorkerJob>(queued);
        let jobs = Arc::new(Mutex::new(jobs));
        for at in 0..threads {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new().name(format!("sign-in {at}")).spawn(move || while run_next(&jobs) {})?;
        }
        Ok(Workers { queue })
    }

    /// Runs a job on one of the threads. One whose caller has gone meanwhile is not run.
    ///
    /// # Errors
    /// As many jobs wait as may wait, or the job panicked.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Overloaded> {
        let (reply, done) = oneshot::channel();
        let job = move || {
            if !reply.is_closed() {
                let _ = reply.send(job());
            }
        };
        match self.queue.try_send(Box::new(job)) {
            Ok(()) => done.await.map_err(|_| Overloaded),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Overloaded),
        }
    }
}

/// Runs the next job; whether there may be another one. A panic ends the job and not the thread.
fn run_next(jobs: &Mutex<Receiver<WorkerJob>>) -> bool {
    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
    let Ok(job) = job else { return false };
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
    true
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_the_queue_is_refused_and_a_panic_ends_one_job_only() {
        let workers = Workers::with(1, 1).expect("starts");
        assert_eq!(workers.run(|| 7).await, Ok(7));
        assert_eq!(workers.run(|| panic!("of a test")).await, Err::<(), _>(Overloaded));
        let ((started, is_started), (finish, finished)) = (channel(), channel::<()>());
        let first = workers.clone();
        let first = tokio::spawn(async move {
            let job = move || {
                started.send(()).expect("is waited for");
                finished.recv().expect("is finished")
            };
            first.run(job).await
        });
        tokio::task::spawn_blocking(move || is_started.recv()).await.expect("joins").expect("starts");
        let waiting = workers.queue.try_send(Box::new(|| {}));
        assert!(waiting.is_ok(), "one job waits");
        assert_eq!(workers.run(|| ()).await, Err(Overloaded));
        finish.send(()).expect("is waited for");
        assert_eq!(first.await.expect("joins"), Ok(()));
    }

    #[tokio::test]
    async fn the_job_of_a_caller_who_has_gone_is_not_run() {
        let workers = Workers::with(1, 8).expect("starts");
        let ((started, is_started), (finish, finished)) = (channel(), channel::<()>());
        let job: WorkerJob = Box::new(move || {
            started.send(()).expect("is waited for");
            finished.recv().expect("is finished");
        });
        assert!(workers.queue.try_send(job).is_ok());
        tokio::task::spawn_blocking(move || is_started.recv()).await.expect("joins").expect("starts");
        let (ran, has_run) = channel();
        let gone = workers.clone();
        let mut gone = Box::pin(async move { gone.run(move || ran.send(())).await });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(gone.as_mut().poll(&mut context).is_pending());
        drop(gone);
        finish.send(()).expect("is waited for");
        assert_eq!(workers.run(|| 1).await, Ok(1));
        assert!(has_run.try_recv().is_err());
    }
}
