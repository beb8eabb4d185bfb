//! The HTTP port: the WebSocket upgrade, the same operations as plain requests, the admin API, health checks and metrics.
//!
//! - Every phase of a connection has a timeout, and every part of a request a maximum size.
//! - Handlers parse a request, call `sync`, `session` or `admin`, and encode the result; they decide nothing else.
//! - Status codes are named in `error` only, and every error has the one form of `refused`, in JSON.

mod admin;
mod before_routes;
mod body;
mod challenge;
mod connection;
mod cors;
mod counted;
mod datasets;
mod deadlines;
mod error;
mod fallback;
mod head;
mod health;
mod json_list;
mod link;
mod meter;
mod middleware;
mod page_guard;
mod party;
mod permit;
mod proxies;
mod proxy_v2;
mod push;
mod request;
mod rules;
mod server;
mod session;
#[cfg(test)]
mod slow_reader_tests;
mod socket;
mod state;
mod stream;
mod tls;
mod transfers;
mod unauthenticated;
mod unread_body;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get, post};

pub use before_routes::{ServiceBeforeRoutes, mark_authenticated};
pub use page_guard::ServedPages;
pub use proxies::{ForwardedHeader, ProxiesConfig, ProxyProtocol};
pub use rules::ConnectionRules;
pub use server::{HttpConfig, ReservedPort, ServedPort};
pub use state::{HttpState, ServerPhase};
pub use tls::{ListenError, ServerCertificate, TlsConfig};
pub use transfers::Transfers;

/// Who a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortUse {
    /// Devices, and load balancers that ask whether the server is ready.
    Devices,
    /// Operators and monitoring.
    Operators,
    Both,
}

/// The routes of a port: the server's own, and `extra` ones.
pub fn router(state: HttpState, port: PortUse, extra: Router) -> Router {
    let before_routes = state.before_routes.clone().filter(|_| port != PortUse::Operators);
    let rules =
        middleware::RequestRules { pools: state.pools.clone(), pages: state.pages, before_routes, transfers: state.transfers.clone() };
    let devices = || device_routes(state.clone()).route("/v1/sync", get(socket::upgrade));
    let operators = || {
        let api = Router::new().nest("/admin/api", admin::routes(state.clone()));
        let metrics = get(health::metrics).route_layer(from_fn_with_state(state.clone(), admin::own_name_or_key));
        api.route("/metrics", metrics).route("/health/ready", get(health::ready_details))
    };
    let elsewhere = || {
        let api = Router::new().route("/admin/api/{*path}", any(fallback::on_the_admin_port));
        api.route("/metrics", any(fallback::on_the_admin_port)).route("/health/ready", get(health::ready))
    };
    let own = match port {
        PortUse::Devices => devices().merge(elsewhere()),
        PortUse::Operators => operators(),
        PortUse::Both => devices().merge(operators()),
    };
    let routes = own
        .route("/health/live", get(health::live))
        .with_state(state)
        .merge(extra)
        .fallback(fallback::no_such_path)
        .method_not_allowed_fallback(fallback::method_not_allowed);
    // Around the router as a whole: it adds Allow after the layers of its routes.
    Router::new().fallback_service(routes).layer(from_fn_with_state(rules, middleware::every_request))
}

/// The requests of an authenticated device.
fn device_routes(state: HttpState) -> Router<HttpState> {
    Router::new()
        .route("/v1/session", get(session::session))
        .route("/v1/datasets", get(datasets::list))
        .route("/v1/datasets/{dataset}/changes", get(datasets::changes))
        .route("/v1/datasets/{dataset}/write", post(datasets::write))
        .route("/v1/datasets/{dataset}/ack", post(datasets::ack))
        .route("/v1/push", get(push::registration).put(push::register).delete(push::unregister))
        .route("/v1/push/keys", get(push::keys))
        .route(request::LINK_PATH, post(link::link).route_layer(from_fn(middleware::run_to_its_end)))
        .route_layer(from_fn_with_state(state, request::authenticated))
}
