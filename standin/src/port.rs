//! A port that the gateway listens on, that may be shut and opened again.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// How many connections wait to be accepted.
const BACKLOG: u32 = 1024;

pub(super) struct Port {
    pub(super) address: SocketAddr,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    listener: Option<TcpListener>,
    /// The task that accepts.
    waker: Option<Waker>,
}

impl Port {
    /// Listens on this machine only; 0 is any port.
    pub(super) fn bind(port: u16) -> io::Result<Port> {
        let listener = listen((Ipv4Addr::LOCALHOST, port).into())?;
        Ok(Port { address: listener.local_addr()?, inner: Mutex::new(Inner { listener: Some(listener), waker: None }) })
    }

    /// Nobody listens once this returns.
    pub(super) fn shut(&self) {
        self.lock().listener = None;
    }

    /// Listens again, on the same port.
    pub(super) fn open(&self) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.listener.is_none() {
            inner.listener = Some(listen(self.address)?);
            inner.waker.take().into_iter().for_each(Waker::wake);
        }
        Ok(())
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<TcpStream> {
        poll_fn(|cx| {
            let mut inner = self.lock();
            inner.waker = Some(cx.waker().clone());
            match &inner.listener {
                Some(listener) => listener.poll_accept(cx).map_ok(|(stream, _)| stream),
                None => Poll::Pending,
            }
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
