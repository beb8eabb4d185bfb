//! What holds for every request and every response of the port.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::before_routes::ServiceBeforeRoutes;
use super::cors::PageRequest;
use super::error::HttpError;
use super::page_guard::{self, PageRefusal, ServedPages};
use super::transfers::Transfers;
use super::unread_body::{BodyEnd, LeaveBodyUnread, UnreadBody};
use super::{error, head};
use crate::committer::Unavailable;
use crate::origin::{AllowedOrigins, OriginMatch};
use crate::pools::Pools;
use crate::session::DrainWatch;

/// What every request meets before the routes.
#[derive(Clone)]
pub(super) struct RequestRules {
    /// Whose origins say which web pages may use the server.
    pub(super) pools: Pools,
    pub(super) pages: ServedPages,
    pub(super) before_routes: Option<ServiceBeforeRoutes>,
    pub(super) transfers: Transfers,
}

/// Answers a request, reads and drops what the answer has left unread of its body, and completes the headers, whatever the status.
pub(super) async fn every_request(State(rules): State<RequestRules>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let page = PageRequest::read(&parts);
    let (body, unread) = UnreadBody::lend(&parts.headers, body);
    let drain = parts.extensions.get::<DrainWatch>().cloned();
    let origins = rules.pools.origins();
    let mut response = answer(&rules, &origins, page.as_ref(), Request::from_parts(parts, body), next).await;
    if error::is_upgrade(&response) {
        return response;
    }
    let end = match unread {
        None => BodyEnd::Reached,
        Some(_) if response.extensions().get::<LeaveBodyUnread>().is_some() => BodyEnd::NotReached,
        Some(unread) => unread.drop_rest(drain).await,
    };
    if end == BodyEnd::NotReached {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    complete(response.headers_mut());
    if let Some(page) = page {
        page.complete(response.headers_mut(), &origins);
    }
    response
}

/// Refuses a request with an invalid head, answers `OPTIONS`, and leaves all others to the routes.
async fn answer(rules: &RequestRules, origins: &AllowedOrigins, page: Option<&PageRequest>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let method = parts.method.clone();
    let is_named = |origin: &str| origins.find(origin) == OriginMatch::Named;
    let checked = head::check(&parts).and_then(|()| page_guard::check(rules.pages, &parts, is_named).map_err(HttpError::ForeignPage));
    let request = Request::from_parts(parts, body);
    let service = rules.before_routes.as_ref().filter(|service| service.claims(&request));
    let is_allowed = match (&checked, service) {
        // Its owner has let pages of this origin into the bucket.
        (Err(HttpError::ForeignPage(PageRefusal::ForeignPage)), Some(service)) => {
            let asked = service.allows_page(&request);
            asked.await
        }
        _ => false,
    };
    match (if is_allowed { Ok(()) } else { checked }, service) {
        (Err(error), _) => error.into_response(),
        (Ok(()), Some(service)) => service.answer(&rules.transfers, request).await,
        (Ok(()), None) => match page.and_then(|page| page.answer_preflight(origins)) {
            Some(answer) => answer,
            None => error::with_allowed_methods(&method, next.run(request).await),
        },
    }
}

/// No answer may be kept by a cache, unless its handler says otherwise: it belongs to one person or to one moment. A browser must not guess the
/// type of a body that holds what users wrote. An answer with an ETag is an object of S3: what was stored with it says what may be kept, as at AWS.
fn complete(headers: &mut HeaderMap) {
    if !headers.contains_key(header::ETAG) {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
}

/// Runs a request that changes something to its end, also if its client hangs up: what is changed has its line in the log.
pub(super) async fn run_to_its_end(request: Request, next: Next) -> Result<Response, HttpError> {
    if request.method().is_safe() {
        return Ok(next.run(request).await);
    }
    tokio::spawn(next.run(request)).await.map_err(|_| Unavailable::Now.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::body::Body;
    use axum::http::Method;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use tokio::sync::Notify;
    use tower_service::Service;

    use super::*;

    #[tokio::test]
    async fn what_changes_something_is_run_to_its_end_also_if_its_client_hangs_up() {
        let [begun, go_on, ended] = [(); 3].map(|()| Arc::new(Notify::new()));
        let events = (Arc::clone(&begun), Arc::clone(&go_on), Arc::clone(&ended));
        let act = move || {
            let (begun, go_on, ended) = events.clone();
            async move {
                begun.notify_one();
                go_on.notified().await;
                ended.notify_one();
            }
        };
        let mut router = Router::<()>::new().route("/", post(act.clone()).delete(act)).layer(from_fn(run_to_its_end));
        for method in [Method::POST, Method::DELETE] {
            let request = Request::builder().method(method).uri("/").body(Body::empty()).expect("a request");
            tokio::select! {
                _ = router.call(request) => panic!("it was not told to go on"),
                () = begun.notified() => {}
            }
            // The client is gone, and its request with it.
            go_on.notify_one();
            ended.notified().await;
        }
    }
}
