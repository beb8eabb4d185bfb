//! What a request is answered that no route takes.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};

use super::error::HttpError;
use super::request::drop_unread_body;

pub(super) async fn no_such_path(request: Request) -> Response {
    drop_unread_body(request).await;
    HttpError::NoSuchPath.into_response()
}

/// The path is served on the port for operators.
pub(super) async fn on_the_admin_port(request: Request) -> Response {
    drop_unread_body(request).await;
    HttpError::OnAdminPort.into_response()
}

/// The router adds the methods that the path supports.
pub(super) async fn method_not_allowed(request: Request) -> Response {
    drop_unread_body(request).await;
    HttpError::MethodNotAllowed.into_response()
}
