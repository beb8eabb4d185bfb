//! Third-party push services: which addresses are allowed, and how much of a response is read.

use super::super::support::{closed_port, plain_text_server};
use super::super::tls_push_service_stand_in::{TlsPushServiceStandIn, tls_with_root};
use super::*;

async fn send(service: &TlsPushServiceStandIn, policy: AddressPolicy, uri: &str) -> Result<GatewayResponse, FailureCause> {
    let client = ThirdPartyClient::new(tls_with_root(&service.authority), policy);
    let sent = client.send(Request::post(uri).body(Bytes::from_static(b"sealed")).expect("a request")).await;
    sent.map_err(|fault| fault.cause)
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_refused_before_connecting() {
    let mut service = TlsPushServiceStandIn::answering("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let uri = format!("https://localhost:{}/1", service.port);
    assert_eq!(send(&service, AddressPolicy::PublicOnly, &uri).await.err(), Some(FailureCause::AddressRefused));
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
async fn what_keeps_a_response_away_has_its_cause() {
    let service = TlsPushServiceStandIn::answering("no HTTP\r\n\r\n".to_owned()).await;
    let local = |port: u16| format!("https://localhost:{port}/1");
    assert_eq!(send(&service, AddressPolicy::Any, &local(service.port)).await.err(), Some(FailureCause::ConnectionLost));
    assert_eq!(send(&service, AddressPolicy::Any, &local(closed_port())).await.err(), Some(FailureCause::ConnectionRefused));
    assert_eq!(send(&service, AddressPolicy::Any, "https://x.invalid/1").await.err(), Some(FailureCause::NameNotFound));
    let other = TlsPushServiceStandIn::answering(String::new()).await;
    assert_eq!(send(&service, AddressPolicy::Any, &local(other.port)).await.err(), Some(FailureCause::CertificateNotTrusted));
    let wrong_name = format!("https://127.0.0.2:{}/1", service.port);
    assert_eq!(send(&service, AddressPolicy::Any, &wrong_name).await.err(), Some(FailureCause::CertificateWrongName));
    let expired = TlsPushServiceStandIn::expired().await;
    assert_eq!(send(&expired, AddressPolicy::Any, &local(expired.port)).await.err(), Some(FailureCause::CertificateExpired));
    let plain = plain_text_server().await;
    assert_eq!(send(&service, AddressPolicy::Any, &local(plain)).await.err(), Some(FailureCause::Tls));
}
