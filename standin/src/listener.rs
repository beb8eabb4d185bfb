//! A TCP listener that can be closed and opened again on the same port.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

pub(crate) struct ReopenableListener {
    pub(crate) address: SocketAddr,
    state: Mutex<ListenerState>,
}

#[derive(Default)]
struct ListenerState {
    listener: Option<TcpListener>,
    /// Wakes the task that accepts connections.
    waker: Option<Waker>,
}

impl ReopenableListener {
    /// Listens on the loopback address; 0 is any port.
    pub(crate) fn bind(port: u16) -> io::Result<ReopenableListener> {
        let listener = listen((Ipv4Addr::LOCALHOST, port).into())?;
        let address = listener.local_addr()?;
        Ok(ReopenableListener { address, state: Mutex::new(ListenerState { listener: Some(listener), waker: None }) })
    }

    /// Stops listening before it returns.
    pub(crate) fn close(&self) {
        self.lock().listener = None;
    }

    pub(crate) fn reopen(&self) -> io::Result<()> {
        let mut state = self.lock();
        if state.listener.is_none() {
            state.listener = Some(listen(self.address)?);
            state.waker.take().into_iter().for_each(Waker::wake);
        }
        Ok(())
    }

    /// The next connection. Waits while the listener is closed.
    pub(crate) async fn accept(&self) -> io::Result<TcpStream> {
        poll_fn(|cx| {
            let mut state = self.lock();
            state.waker = Some(cx.waker().clone());
            match &state.listener {
                Some(listener) => listener.poll_accept(cx).map_ok(|(stream, _)| stream),
                None => Poll::Pending,
            }
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, ListenerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
