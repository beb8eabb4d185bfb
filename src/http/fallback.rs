//! What a request is answered that no route takes.

use super::error::HttpError;

pub(super) async fn no_such_path() -> HttpError {
    HttpError::NoSuchPath
}

/// The path is served on the port for operators.
pub(super) async fn on_the_admin_port() -> HttpError {
    HttpError::OnAdminPort
}

/// The router adds the methods that the path supports.
pub(super) async fn method_not_allowed() -> HttpError {
    HttpError::MethodNotAllowed
}
