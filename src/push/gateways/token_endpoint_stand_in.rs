//! Test only: an OAuth token endpoint that speaks HTTP/1.1 in plain text, with scripted responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub(super) struct TokenEndpointStandIn {
    pub(super) token_uri: String,
    /// The number of requests.
    pub(super) requests: Arc<AtomicUsize>,
}

impl TokenEndpointStandIn {
    /// Answers each request with the next response, and every further one with the last.
    pub(super) async fn answering(responses: &'static [(u16, &'static str)]) -> TokenEndpointStandIn {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let token_uri = format!("http://{}/token", listener.local_addr().expect("an address"));
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (status, body) = responses[number.min(responses.len() - 1)];
                let mut request = Vec::new();
                while !request.windows(10).any(|part| part == b"assertion=") {
                    socket.read_buf(&mut request).await.expect("a request");
                }
                let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                socket.write_all(format!("{head}{body}").as_bytes()).await.expect("sent");
            }
        });
        TokenEndpointStandIn { token_uri, requests }
    }
}

/// A new key for a service account, in PEM.
pub(super) fn rsa_key() -> String {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key").serialize_pem()
}
