//! Test only: an HTTP proxy that answers each CONNECT with one text, and opens the tunnel if that is a 200.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

pub(super) struct ConnectProxyStandIn {
    /// Its address, `http://127.0.0.1:port`.
    pub(super) url: String,
    /// The tunnels that it opened.
    pub(super) tunnels: Arc<AtomicUsize>,
}

impl ConnectProxyStandIn {
    pub(super) async fn answering(response: &'static str) -> ConnectProxyStandIn {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let tunnels = Arc::new(AtomicUsize::new(0));
        let count = tunnels.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, response, count.clone()));
            }
        });
        ConnectProxyStandIn { url, tunnels }
    }
}

async fn serve(mut client: TcpStream, response: &'static str, tunnels: Arc<AtomicUsize>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    client.write_all(response.as_bytes()).await.ok()?;
    response.contains(" 200 ").then_some(())?;
    tunnels.fetch_add(1, Ordering::SeqCst);
    let mut server = TcpStream::connect(target).await.ok()?;
    copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}
