//! The client for third-party push services: servers that are unknown beforehand, because Web Push subscriptions name them.
//!
//! - A name is resolved once for a connection, its addresses are filtered, and the connection goes to one of the addresses that are left.
//! - No redirect is followed, and at most [`BODY_BYTES`] of a response's body are read.
//! - At most [`MAX_REQUESTS`] requests are in flight; further ones are rejected at once, and their caller retries later.
//! - At most [`MAX_CONNECTIONS`] connections are open at a time, to all servers together; a request that finds none free waits for one.

use std::error::Error;
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
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tower_service::Service;

use super::endpoint::AddressPolicy;
use super::failure::FailureCause;
use super::permitted_stream::PermittedStream;
use super::resolver::FilteringResolver;
use super::response::{BODY_BYTES, GatewayResponse};
use super::transport_fault::TransportFault;
use super::verdict::{FaultScope, Verdict};

/// The most open connections, for all apps of a pool that share them. A browser vendor's service takes hundreds of requests on one.
pub(super) const MAX_CONNECTIONS: usize = 512;

/// The most requests in flight: several for each connection, because most go to a few services that take many on one.
const MAX_REQUESTS: usize = 4096;

/// How long a connection is kept for the next request. There may be many servers, and one that is used once occupies a connection for this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long opening a connection may take, with the wait for a permit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(6);

/// How long one of a name's addresses is tried before the next.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(4);

/// How often a connection with requests in flight is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long a pong may take.
const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest head of a response, in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct ThirdPartyClient {
    client: Client<LimitedConnector, Full<Bytes>>,
    request_permits: Arc<Semaphore>,
}

/// The verdict on a wake that got no response. It concerns one device, because other subscriptions may name other servers.
pub(super) fn verdict_on(fault: &TransportFault) -> Verdict {
    match fault.cause {
        FailureCause::AddressRefused => Verdict::dead("address_refused").because(FailureCause::AddressRefused),
        cause => Verdict::later(cause.to_string(), FaultScope::Device).because(cause),
    }
}

impl ThirdPartyClient {
    pub(super) fn new(tls: ClientConfig, policy: AddressPolicy) -> ThirdPartyClient {
        let mut http = HttpConnector::new_with_resolver(FilteringResolver(policy));
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(ADDRESS_TIMEOUT));
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().enable_http2().wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http1_max_buf_size(HEAD_BYTES)
            .http2_max_header_list_size(HEAD_BYTES as u32)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PONG_TIMEOUT)
            .build(LimitedConnector { https, connection_permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)) });
        ThirdPartyClient { client, request_permits: Arc::new(Semaphore::new(MAX_REQUESTS)) }
    }

    /// Sends a request. The caller bounds the time, and has checked a host that is a numerical address: it does not pass through the resolver.
    pub(super) async fn send(&self, request: Request<Bytes>) -> Result<GatewayResponse, TransportFault> {
        let _permit = self.request_permits.try_acquire().map_err(|_| TransportFault::new(FailureCause::TooManyWaiting))?;
        let response = self.client.request(request.map(Full::new)).await.map_err(|error| transport_fault(&error))?;
        let (parts, body) = response.into_parts();
        Ok(GatewayResponse { status: parts.status.as_u16(), headers: parts.headers, body: read_body(body).await })
    }
}

fn transport_fault(error: &hyper_util::client::legacy::Error) -> TransportFault {
    let unknown = if error.is_connect() { FailureCause::Unreachable } else { FailureCause::ConnectionLost };
    TransportFault::in_chain(error).unwrap_or_else(|| TransportFault::new(unknown))
}

/// Reads a body up to [`BODY_BYTES`]. The verdict depends on the status alone, so a body that breaks off is no error.
async fn read_body(mut body: Incoming) -> Bytes {
    let mut read = BytesMut::new();
    // An empty body is not waited for.
    while read.len() < BODY_BYTES && !body.is_end_stream() {
        match body.frame().await {
            Some(Ok(frame)) => {
                let chunk = frame.into_data().unwrap_or_default();
                read.extend_from_slice(&chunk[..chunk.len().min(BODY_BYTES - read.len())]);
            }
            Some(Err(_)) | None => break,
        }
    }
    read.freeze()
}

/// Opens connections: at most as many as there are permits, each within [`CONNECT_TIMEOUT`].
#[derive(Clone)]
struct LimitedConnector {
    https: HttpsConnector<HttpConnector<FilteringResolver>>,
    connection_permits: Arc<Semaphore>,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl Service<Uri> for LimitedConnector {
    type Response = PermittedStream<<HttpsConnector<HttpConnector<FilteringResolver>> as Service<Uri>>::Response>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (mut https, permits) = (self.https.clone(), self.connection_permits.clone());
        Box::pin(async move {
            let opening = async {
                let permit = permits.acquire_owned().await?;
                Ok(PermittedStream::new(https.call(uri).await?, permit))
            };
            tokio::time::timeout(CONNECT_TIMEOUT, opening).await?
        })
    }
}

#[cfg(test)]
#[path = "third_party_tests.rs"]
mod tests;
