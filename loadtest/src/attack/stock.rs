//! The data of an account that its attacks read and write upon: one dataset of 15 MB with large records.

use std::fmt::Write;

use crate::http::{HttpConnection, check_status};
use crate::server::ServerUnderTest;

/// The dataset's name.
pub const STOCK: &str = "stock";

/// Maps in the list of each record: 786 KB in MessagePack, and in JSON just below the bound of a value (1.5 MiB). So an `insert` of ten
/// long numbers is refused as too large, after it was computed.
const STOCK_MAPS: usize = 196_590;

/// The key of a record.
pub fn stock_key(number: u32) -> String {
    format!("r{number}")
}

/// Writes the stock of a person, on a device of its own: what any other device writes there with base 0 conflicts.
/// Fewer records than [`STOCK_RECORDS`](crate::attack_mix::STOCK_RECORDS) make it smaller; then some of the attacks' messages find no record.
pub fn write_stock(server: &ServerUnderTest, person: &str, records: u32) -> Result<(), String> {
    let token = format!("Bearer {}", server.signer.sign(person));
    let headers = [("Authorization", token.as_str()), ("Driftless-Device", "owner")];
    let list = vec![r#"{"a":1}"#; STOCK_MAPS].join(",");
    let mut http = HttpConnection::connect(server.address)?;
    for number in 0..records {
        let mut body = String::with_capacity(list.len() + 100);
        let _ = write!(body, r#"{{"id":{},"changes":[{{"key":"{}","op":"put","value":[{list}]}}]}}"#, number + 1, stock_key(number));
        check_status(http.request("POST", &format!("/v1/datasets/{STOCK}/write"), &headers, body.as_bytes())?)?;
    }
    Ok(())
}
