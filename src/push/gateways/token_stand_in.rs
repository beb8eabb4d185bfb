//! A token endpoint for tests: HTTP/1.1 in plain, with scripted answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A token endpoint.
pub(super) struct TokenEndpoint {
    /// Where it is.
    pub(super) token_uri: String,
    /// How often it was asked.
    pub(super) asked: Arc<AtomicUsize>,
}

impl TokenEndpoint {
    /// Answers each request with the next of these, and with the last one from then on.
    pub(super) async fn answering(answers: &'static [(u16, &'static str)]) -> TokenEndpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let token_uri = format!("http://{}/token", listener.local_addr().expect("an address"));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (status, body) = answers[number.min(answers.len() - 1)];
                let mut request = Vec::new();
                while !request.windows(10).any(|part| part == b"assertion=") {
                    socket.read_buf(&mut request).await.expect("a request");
                }
                let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                socket.write_all(format!("{head}{body}").as_bytes()).await.expect("sent");
            }
        });
        TokenEndpoint { token_uri, asked }
    }
}

/// A service account's key, in PEM.
pub(super) fn rsa_key() -> String {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key").serialize_pem()
}
