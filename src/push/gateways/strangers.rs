//! Speaks to servers that strangers name: the push services of Web Push subscriptions.
//!
//! - A name is resolved once for a connection, what it resolves to is filtered, and the connection goes to one of the addresses that are left.
//! - No redirect is followed, and of an answer's body [`BODY_BYTES`] are read.
//! - At most [`PLACES`] requests are under way; more are turned away, and their caller comes again later.
//! - At most [`CONNECTIONS`] are open at a time, for however many servers; whoever finds none left waits for one that goes.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tower_service::Service;

use super::answer::{Answer, BODY_BYTES};
use super::endpoint::Reach;
use super::held::Held;
use super::verdict::{Verdict, Whom};

/// Open connections at most, for all apps of a pool that share them. A browser vendor's service takes hundreds of requests on one.
pub(super) const CONNECTIONS: usize = 512;

/// Requests under way at most: several for each connection, as most go to a few services that take many on one.
const PLACES: usize = 4096;

/// How long a connection is kept for the next request. Strangers' servers may be many, and each that is used once holds a place for so long.
const IDLE: Duration = Duration::from_secs(20);

/// How long opening a connection may take, with its wait for a place.
const CONNECT_WITHIN: Duration = Duration::from_secs(6);

/// How long one of a name's addresses is tried before the next.
const ADDRESSES_WITHIN: Duration = Duration::from_secs(4);

/// How often a connection with requests in flight is asked whether it lives, and how long its answer may take.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// The largest head of an answer, in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// A client for strangers' servers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Strangers {
    client: Client<Door, Full<Bytes>>,
    places: Arc<Semaphore>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Too many are under way.
    TooMany,
    /// Its name leads to no address that may be spoken to.
    Refused,
    /// It could not be reached.
    Unreachable,
    /// It was reached, and broke off.
    BrokenOff,
}

impl NoAnswer {
    /// What that means for what was to be sent. Another stranger's server may be well.
    pub(super) fn verdict(self) -> Verdict {
        match self {
            NoAnswer::TooMany => Verdict::later("too_many_waiting", Whom::Device),
            NoAnswer::Refused => Verdict::dead("address_refused"),
            NoAnswer::Unreachable => Verdict::later("unreachable", Whom::Device),
            NoAnswer::BrokenOff => Verdict::later("connection_lost", Whom::Device),
        }
    }
}

impl Strangers {
    /// A client that speaks to addresses within this reach.
    pub(super) fn new(tls: ClientConfig, reach: Reach) -> Strangers {
        let mut http = HttpConnector::new_with_resolver(Resolver(reach));
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(ADDRESSES_WITHIN));
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().enable_http2().wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http1_max_buf_size(HEAD_BYTES)
            .http2_max_header_list_size(HEAD_BYTES as u32)
            .http2_keep_alive_interval(PING.0)
            .http2_keep_alive_timeout(PING.1)
            .build(Door { https, places: Arc::new(Semaphore::new(CONNECTIONS)) });
        Strangers { client, places: Arc::new(Semaphore::new(PLACES)) }
    }

    /// Sends a request, whose host must not be a number out of reach: that no resolver sees. Whoever calls bounds the time.
    pub(super) async fn send(&self, request: Request<Bytes>) -> Result<Answer, NoAnswer> {
        let _place = self.places.try_acquire().map_err(|_| NoAnswer::TooMany)?;
        let response = self.client.request(request.map(Full::new)).await.map_err(|error| no_answer(&error))?;
        let (parts, body) = response.into_parts();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: read(body).await })
    }
}

fn no_answer(error: &hyper_util::client::legacy::Error) -> NoAnswer {
    let mut causes = std::iter::successors(error.source(), |cause| (**cause).source());
    match causes.any(|cause| cause.is::<OutOfReach>()) {
        true => NoAnswer::Refused,
        false if error.is_connect() => NoAnswer::Unreachable,
        false => NoAnswer::BrokenOff,
    }
}

/// A body to its bound. Its verdict is in the status, so one that breaks off is as good as its beginning.
async fn read(mut body: Incoming) -> Bytes {
    let mut read = BytesMut::new();
    // One with nothing to read is not waited for.
    while read.len() < BODY_BYTES && !body.is_end_stream() {
        match body.frame().await {
            Some(Ok(frame)) => {
                let part = frame.into_data().unwrap_or_default();
                read.extend_from_slice(&part[..part.len().min(BODY_BYTES - read.len())]);
            }
            Some(Err(_)) | None => break,
        }
    }
    read.freeze()
}

/// Opens connections, so many at a time and each within its time.
#[derive(Clone)]
struct Door {
    https: HttpsConnector<HttpConnector<Resolver>>,
    places: Arc<Semaphore>,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl Service<Uri> for Door {
    type Response = Held<<HttpsConnector<HttpConnector<Resolver>> as Service<Uri>>::Response>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (mut https, places) = (self.https.clone(), self.places.clone());
        Box::pin(async move {
            let opening = async {
                let place = places.acquire_owned().await?;
                Ok(Held::new(https.call(uri).await?, place))
            };
            tokio::time::timeout(CONNECT_WITHIN, opening).await?
        })
    }
}

/// Resolves names to addresses within reach.
#[derive(Clone, Copy, Debug)]
struct Resolver(Reach);

/// A name leads to no address that may be spoken to.
#[derive(Debug)]
struct OutOfReach;

impl fmt::Display for OutOfReach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no address of the public internet")
    }
}

impl Error for OutOfReach {}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = self.0;
        Box::pin(async move { within(reach, tokio::net::lookup_host((name.as_str(), 0)).await?.collect()) })
    }
}

fn within(reach: Reach, mut found: Vec<SocketAddr>) -> Result<std::vec::IntoIter<SocketAddr>, BoxError> {
    if found.is_empty() {
        return Err(io::Error::other("the name has no address").into());
    }
    found.retain(|address| reach.allows(address.ip()));
    match found.is_empty() {
        true => Err(OutOfReach.into()),
        false => Ok(found.into_iter()),
    }
}

#[cfg(test)]
#[path = "strangers_tests.rs"]
mod tests;
