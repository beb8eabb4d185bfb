//! A gateway for tests: HTTP/2 in plain, with scripted answers; it keeps what it was asked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What is answered: a status, and a body.
pub(super) type Said = (u16, String);

/// A gateway.
pub(super) struct StandIn {
    /// Where it is.
    pub(super) server: String,
    /// What it was asked.
    pub(super) asked: mpsc::UnboundedReceiver<Request<Bytes>>,
    /// How many connections it had.
    pub(super) connections: Arc<AtomicUsize>,
}

impl StandIn {
    /// Answers each request with the next of these, and none at all when there are no more.
    pub(super) async fn answering(answers: impl IntoIterator<Item = Said>) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = format!("http://{}", listener.local_addr().expect("an address"));
        let answers = Arc::new(Mutex::new(answers.into_iter().collect::<VecDeque<_>>()));
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let (told, asked) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(socket, answers.clone(), told.clone()));
            }
        });
        StandIn { server, asked, connections }
    }

    /// What it was asked next.
    pub(super) async fn next(&mut self) -> Request<Bytes> {
        self.asked.recv().await.expect("a request")
    }
}

async fn serve(socket: TcpStream, answers: Arc<Mutex<VecDeque<Said>>>, told: mpsc::UnboundedSender<Request<Bytes>>) {
    let mut connection = h2::server::handshake(socket).await.expect("HTTP/2");
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, answers.clone(), told.clone()));
    }
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    answers: Arc<Mutex<VecDeque<Said>>>,
    told: mpsc::UnboundedSender<Request<Bytes>>,
) {
    let (parts, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(part)) = stream.data().await {
        body.extend_from_slice(&part);
    }
    let id = parts.headers.get("apns-id").cloned();
    let _ = told.send(Request::from_parts(parts, Bytes::from(body)));
    let next = answers.lock().expect("no panic").pop_front();
    let Some((status, body)) = next else { return std::future::pending().await };
    let mut response = Response::builder().status(status);
    if let Some(id) = id {
        response = response.header("apns-id", id);
    }
    let mut stream = respond.send_response(response.body(()).expect("a response"), false).expect("sent");
    stream.send_data(Bytes::from(body), true).expect("sent");
}
