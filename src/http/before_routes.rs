//! A service that is asked before the server's own routes, because its requests are told by their signature and not by their path.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Extensions;
use axum::response::{IntoResponse, Response};

use super::error::HttpError;
use super::party::RequestParty;
use super::permit::ConnectionPermit;
use super::transfers::Transfers;
use crate::session::TransferParty;

/// The answer of a service, on its way.
pub type ServiceAnswer = Pin<Box<dyn Future<Output = axum::http::Response<Body>> + Send>>;

/// Whether a request is the service's, by its head.
type Claims = dyn Fn(&Request) -> bool + Send + Sync;

/// Whether the service lets pages of a request's origin send it, by its head.
type AllowsPage = dyn Fn(&Request) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync;

type Answers = dyn Fn(Request) -> ServiceAnswer + Send + Sync;

/// A service that `app` has put before the routes of the devices' port. Clones share it.
#[derive(Clone)]
pub struct ServiceBeforeRoutes {
    claims: Arc<Claims>,
    allows_page: Arc<AllowsPage>,
    answers: Arc<Answers>,
}

/// Notes that the request with these extensions has proved whose it is, before its body is read: it may be a slow transfer then.
pub fn mark_authenticated(extensions: &Extensions) {
    RequestParty::authenticated(extensions, TransferParty::Device);
}

impl ServiceBeforeRoutes {
    /// `claims` and `allows_page` look at a request's head only. `allows_page` is asked about a claimed request of a page that the page guard would
    /// refuse; `answers` gets the claimed requests.
    pub fn new(
        claims: impl Fn(&Request) -> bool + Send + Sync + 'static,
        allows_page: impl Fn(&Request) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync + 'static,
        answers: impl Fn(Request) -> ServiceAnswer + Send + Sync + 'static,
    ) -> ServiceBeforeRoutes {
        ServiceBeforeRoutes { claims: Arc::new(claims), allows_page: Arc::new(allows_page), answers: Arc::new(answers) }
    }

    pub(super) fn claims(&self, request: &Request) -> bool {
        (self.claims)(request)
    }

    pub(super) fn allows_page(&self, request: &Request) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        (self.allows_page)(request)
    }

    /// Answers a request that it has claimed. It counts as a handshake of its client's address.
    pub(super) async fn answer(&self, transfers: &Transfers, request: Request) -> Response {
        let Some((permit, client)) = ConnectionPermit::of_request(request.extensions()) else {
            return HttpError::BadHandshake("the request came over no connection of the server").into_response();
        };
        if let Err(exceeded) = client.take_handshake(transfers.clock.running_ms()) {
            permit.rules().refused(&client, exceeded);
            return HttpError::Auth(exceeded.into()).into_response();
        }
        let response = (self.answers)(request).await;
        // It was signed by somebody who is known.
        if response.status().is_success() {
            permit.authenticated();
        }
        response
    }
}
