//! A JSON object with a list as its last member, whose elements are encoded while it is sent: as JSON they can take several times the memory in
//! which they are held.

use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::stream::{AbortReason, ChunkSource, streamed_response};

/// Bytes after which a chunk ends. A chunk has one element at least.
const CHUNK_BYTES: usize = 64 * 1024;

struct JsonList<I, M> {
    /// What was encoded and not sent yet.
    encoded: Vec<u8>,
    /// `None`: all are encoded.
    elements: Option<I>,
    is_first: bool,
    /// What the elements count as until they are sent.
    _memory: M,
}

/// The members of `head`, and then the list. `memory` is what the elements count as until the last of them is sent.
pub(super) fn json_list<T, I, M>(head: &Value, name: &str, elements: I, memory: M) -> Response
where
    T: Serialize,
    I: Iterator<Item = T> + Send + 'static,
    M: Send + 'static,
{
    streamed_response("application/json", JsonList::new(head, name, elements, memory))
}

impl<I, M> JsonList<I, M> {
    fn new(head: &Value, name: &str, elements: I, memory: M) -> JsonList<I, M> {
        let mut encoded = head.to_string().into_bytes();
        if encoded.pop_if(|last| *last == b'}').is_some() && encoded != b"{" {
            encoded.push(b',');
        }
        encoded.extend(format!("\"{name}\":[").bytes());
        JsonList { encoded, elements: Some(elements), is_first: true, _memory: memory }
    }
}

impl<T, I, M> ChunkSource for JsonList<I, M>
where
    T: Serialize,
    I: Iterator<Item = T> + Send + 'static,
    M: Send + 'static,
{
    async fn next(&mut self) -> Result<Option<Bytes>, AbortReason> {
        while self.encoded.len() < CHUNK_BYTES
            && let Some(elements) = &mut self.elements
        {
            let Some(element) = elements.next() else {
                self.elements = None;
                self.encoded.extend(b"]}");
                break;
            };
            if !std::mem::take(&mut self.is_first) {
                self.encoded.push(b',');
            }
            serde_json::to_writer(&mut self.encoded, &element).map_err(|_| "an element cannot be encoded")?;
        }
        let encoded = std::mem::take(&mut self.encoded);
        Ok((!encoded.is_empty()).then(|| Bytes::from(encoded)))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::json;

    use super::*;

    fn chunks(head: &Value, elements: Vec<Value>) -> Vec<Bytes> {
        let mut list = JsonList::new(head, "list", elements.into_iter(), ());
        let next = || list.next().now_or_never().expect("does not wait").expect("is encoded");
        std::iter::from_fn(next).collect()
    }

    fn document(chunks: &[Bytes]) -> Value {
        serde_json::from_slice(&chunks.concat()).expect("JSON")
    }

    #[test]
    fn it_is_one_document_in_chunks_of_about_the_same_size() {
        let head = json!({ "dataset": "d", "version": 7 });
        assert_eq!(document(&chunks(&head, Vec::new())), json!({ "dataset": "d", "version": 7, "list": [] }));
        assert_eq!(document(&chunks(&json!({}), vec![json!(1), json!(null)])), json!({ "list": [1, null] }));
        let elements: Vec<Value> = (0..100).map(|number| json!({ "number": number, "text": "x".repeat(5000) })).collect();
        let chunks = chunks(&head, elements.clone());
        assert_eq!(document(&chunks), json!({ "dataset": "d", "version": 7, "list": elements }));
        assert!(chunks.len() > 5 && chunks.iter().all(|chunk| chunk.len() < CHUNK_BYTES + 6000));
    }
}
