//! Resolves names to the addresses that the server may connect to.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::endpoint::AddressPolicy;
use super::failure::FailureCause;
use super::transport_fault::TransportFault;

/// The addresses of a name, or of a numerical address.
pub(super) async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, TransportFault> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<_> = found.map_err(|error| TransportFault::with_detail(FailureCause::NameNotFound, error))?.collect();
    match found.is_empty() {
        true => Err(TransportFault::with_detail(FailureCause::NameNotFound, "the name has no address")),
        false => Ok(found),
    }
}

/// The resolver of HTTP clients. A name that leads to no allowed address is [`FailureCause::AddressRefused`].
#[derive(Clone, Copy, Debug)]
pub(super) struct FilteringResolver(pub(super) AddressPolicy);

impl Service<Name> for FilteringResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = TransportFault;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, TransportFault>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let policy = self.0;
        Box::pin(async move { allowed_addresses(policy, addresses(name.as_str(), 0).await?) })
    }
}

fn allowed_addresses(policy: AddressPolicy, mut found: Vec<SocketAddr>) -> Result<std::vec::IntoIter<SocketAddr>, TransportFault> {
    found.retain(|address| policy.allows(address.ip()));
    match found.is_empty() {
        true => Err(TransportFault::new(FailureCause::AddressRefused)),
        false => Ok(found.into_iter()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_names_allowed_addresses_are_left() {
        let found = |addresses: &[&str]| addresses.iter().map(|one| SocketAddr::new(one.parse().expect("an address"), 0)).collect();
        let left: Vec<_> = allowed_addresses(AddressPolicy::PublicOnly, found(&["10.0.0.1", "1.1.1.1", "::1"])).expect("one").collect();
        assert_eq!(left, [SocketAddr::from(([1, 1, 1, 1], 0))]);
        let none = allowed_addresses(AddressPolicy::PublicOnly, found(&["10.0.0.1", "::ffff:127.0.0.1"]));
        assert!(none.is_err_and(|fault| fault.cause == FailureCause::AddressRefused));
        assert!(allowed_addresses(AddressPolicy::Any, found(&["10.0.0.1"])).is_ok());
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_not_found() {
        let fault = addresses("x.invalid", 443).await.expect_err("no address");
        assert_eq!(fault.cause, FailureCause::NameNotFound);
    }
}
