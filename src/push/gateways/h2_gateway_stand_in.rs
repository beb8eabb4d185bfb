//! Test only: a gateway that speaks HTTP/2 in plain text, answers with scripted responses and records its requests.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A status and a body.
pub(super) type ScriptedH2Response = (u16, String);

pub(super) struct H2GatewayStandIn {
    /// Its address, `http://127.0.0.1:port`.
    pub(super) server: String,
    pub(super) requests: mpsc::UnboundedReceiver<Request<Bytes>>,
    /// The number of connections that it accepted.
    pub(super) connections: Arc<AtomicUsize>,
}

impl H2GatewayStandIn {
    /// Answers each request with the next response; requests after the last one are never answered.
    pub(super) async fn answering(responses: impl IntoIterator<Item = ScriptedH2Response>) -> H2GatewayStandIn {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = format!("http://{}", listener.local_addr().expect("an address"));
        let responses = Arc::new(Mutex::new(responses.into_iter().collect::<VecDeque<_>>()));
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let (recorder, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(socket, responses.clone(), recorder.clone()));
            }
        });
        H2GatewayStandIn { server, requests, connections }
    }

    /// Waits for the next request.
    pub(super) async fn next(&mut self) -> Request<Bytes> {
        self.requests.recv().await.expect("a request")
    }
}

async fn serve(socket: TcpStream, responses: Arc<Mutex<VecDeque<ScriptedH2Response>>>, recorder: mpsc::UnboundedSender<Request<Bytes>>) {
    let mut connection = h2::server::handshake(socket).await.expect("HTTP/2");
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(respond_once(request, respond, responses.clone(), recorder.clone()));
    }
}

async fn respond_once(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    responses: Arc<Mutex<VecDeque<ScriptedH2Response>>>,
    recorder: mpsc::UnboundedSender<Request<Bytes>>,
) {
    let (parts, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = stream.data().await {
        body.extend_from_slice(&chunk);
    }
    let id = parts.headers.get("apns-id").cloned();
    let _ = recorder.send(Request::from_parts(parts, Bytes::from(body)));
    let next = responses.lock().expect("no panic").pop_front();
    let Some((status, body)) = next else { return std::future::pending().await };
    let mut response = Response::builder().status(status);
    if let Some(id) = id {
        response = response.header("apns-id", id);
    }
    let mut stream = respond.send_response(response.body(()).expect("a response"), false).expect("sent");
    stream.send_data(Bytes::from(body), true).expect("sent");
}
