//! Third-party push services: which addresses are allowed, and how much of a response is read.

use super::super::tls_push_service_stand_in::{TlsPushServiceStandIn, tls_with_root};
use super::*;

async fn send(service: &TlsPushServiceStandIn, policy: AddressPolicy, uri: &str) -> Result<GatewayResponse, ThirdPartyError> {
    let client = ThirdPartyClient::new(tls_with_root(&service.authority), policy);
    client.send(Request::post(uri).body(Bytes::from_static(b"sealed")).expect("a request")).await
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_refused_before_connecting() {
    let mut service = TlsPushServiceStandIn::answering("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let uri = format!("https://localhost:{}/1", service.port);
    assert_eq!(send(&service, AddressPolicy::PublicOnly, &uri).await.err(), Some(ThirdPartyError::AddressRefused));
    assert!(service.requests.try_recv().is_err());
    assert_eq!(send(&service, AddressPolicy::Any, &uri).await.map(|response| response.status).ok(), Some(201));
    assert_eq!(service.requests.recv().await.map(|request| request.1), Some(b"sealed".to_vec()));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut service =
        TlsPushServiceStandIn::answering("HTTP/1.1 307 There\r\nlocation: https://localhost/2\r\ncontent-length: 0\r\n\r\n".to_owned())
            .await;
    let uri = format!("https://localhost:{}/1", service.port);
    assert_eq!(send(&service, AddressPolicy::Any, &uri).await.map(|response| response.status).ok(), Some(307));
    assert!(service.requests.recv().await.is_some() && service.requests.try_recv().is_err());
}

#[tokio::test]
async fn only_the_beginning_of_a_long_body_is_read() {
    let body = "x".repeat(1 << 20);
    let service = TlsPushServiceStandIn::answering(format!("HTTP/1.1 500 No\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
    let response = send(&service, AddressPolicy::Any, &format!("https://localhost:{}/1", service.port)).await.expect("a response");
    assert_eq!((response.status, response.body.len()), (500, BODY_BYTES));
}

#[tokio::test]
async fn an_unreachable_server_and_a_lost_connection_are_different_errors() {
    let service = TlsPushServiceStandIn::answering("no HTTP\r\n\r\n".to_owned()).await;
    assert_eq!(
        send(&service, AddressPolicy::Any, &format!("https://localhost:{}/1", service.port)).await.err(),
        Some(ThirdPartyError::ConnectionLost)
    );
    assert_eq!(send(&service, AddressPolicy::Any, "https://localhost:1/1").await.err(), Some(ThirdPartyError::Unreachable));
}

#[test]
fn only_a_names_allowed_addresses_are_left() {
    let found = |addresses: &[&str]| addresses.iter().map(|one| SocketAddr::new(one.parse().expect("an address"), 0)).collect();
    let left: Vec<_> = allowed_addresses(AddressPolicy::PublicOnly, found(&["10.0.0.1", "1.1.1.1", "::1"])).expect("one").collect();
    assert_eq!(left, [SocketAddr::from(([1, 1, 1, 1], 0))]);
    assert!(
        allowed_addresses(AddressPolicy::PublicOnly, found(&["10.0.0.1", "::ffff:127.0.0.1"]))
            .is_err_and(|error| error.is::<NoAllowedAddress>())
    );
    assert!(allowed_addresses(AddressPolicy::Any, found(&["10.0.0.1"])).is_ok());
    assert!(allowed_addresses(AddressPolicy::Any, found(&[])).is_err_and(|error| !error.is::<NoAllowedAddress>()));
}
