//! Bodies of calls that are being read or worked on: what they take together in memory is bounded.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::AwsError;
use super::service::AwsWire;

/// The longest body that takes no place among the large ones: the head of a request may be as long.
const SMALL_BODY_BYTES: u64 = 16 * 1024;

/// A place is counted in these.
const PLACE_BYTES: u64 = 64 * 1024;

/// What larger bodies take together, in [`PLACE_BYTES`]: 32 MiB. A body of such a size is rare, and slow senders of some keep nobody out whose body is
/// small.
const PLACES: usize = 512;

/// The bodies that are held now. Clones share the bound.
#[derive(Clone)]
pub(super) struct CallBodies(Arc<Semaphore>);

impl Default for CallBodies {
    fn default() -> CallBodies {
        CallBodies(Arc::new(Semaphore::new(PLACES)))
    }
}

impl CallBodies {
    /// Reads a whole body, and the place that it takes until it is dropped. One that may be large is refused while many are read.
    pub(super) async fn read(
        &self,
        body: Body,
        wire: AwsWire,
        most_bytes: usize,
    ) -> Result<(Bytes, Option<OwnedSemaphorePermit>), AwsError> {
        let announced = body.size_hint().upper().unwrap_or(most_bytes as u64);
        if announced > most_bytes as u64 {
            return Err(AwsError::too_large(wire, most_bytes));
        }
        let place = match announced <= SMALL_BODY_BYTES {
            true => None,
            false => {
                let places = u32::try_from(announced.div_ceil(PLACE_BYTES)).unwrap_or(u32::MAX);
                Some(Arc::clone(&self.0).try_acquire_many_owned(places).map_err(|_| AwsError::unavailable(wire))?)
            }
        };
        match Limited::new(body, most_bytes).collect().await {
            Ok(whole) => Ok((whole.to_bytes(), place)),
            Err(error) if error.is::<LengthLimitError>() => Err(AwsError::too_large(wire, most_bytes)),
            Err(_) => Err(AwsError::malformed(wire, "The body ended before its length")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_bodies_have_a_bound_together_and_small_ones_always_have_a_place() {
        let (bodies, wire, most) = (CallBodies::default(), AwsWire::Json, 8 << 20);
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(bodies.read(Body::from(vec![b'a'; most]), wire, most).await.expect("has a place"));
        }
        let refused = bodies.read(Body::from(vec![b'a'; 17 * 1024]), wire, most).await.expect_err("has none");
        assert_eq!(refused.code(), "ServiceUnavailableException");
        assert!(bodies.read(Body::from(vec![b'a'; 16 * 1024]), wire, most).await.is_ok());
        held.pop();
        assert!(bodies.read(Body::from(vec![b'a'; 17 * 1024]), wire, most).await.is_ok());
        let large = bodies.read(Body::from(vec![b'a'; most + 1]), wire, most).await.expect_err("is too large");
        assert_eq!(large.code(), "RequestEntityTooLargeException");
    }
}
