//! Version 2 of the PROXY protocol (HAProxy's `proxy-protocol.txt`, section 2.2): who the client of a connection is, before its first byte.
//!
//! A connection of a trusted proxy must begin with it: a server that guessed would believe a client that sends the header itself.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// How a header of version 1 begins.
const VERSION_1: &[u8] = b"PROXY ";

/// What the proxy says of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProxiedClient {
    Address(IpAddr),
    /// Somebody whose address is of no family of the internet.
    Unnamed,
    /// The connection is the proxy's own, such as a health check.
    Proxy,
}

/// Reads the header, and not a byte more. Its extensions, 64 KiB at most, are read and dropped, their checksum too: TCP has one of its own.
pub(super) async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<ProxiedClient> {
    let mut fixed = [0; 16];
    stream.read_exact(&mut fixed).await?;
    let [.., version_command, family, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if fixed.starts_with(VERSION_1) {
        return Err(invalid("a header of the PROXY protocol's version 1; send version 2, as HAProxy's send-proxy-v2 does"));
    }
    if fixed[..12] != SIGNATURE || version_command >> 4 != 2 {
        return Err(invalid("no header of the PROXY protocol, version 2"));
    }
    let mut address = [0; 36];
    let known = length.min(address.len());
    stream.read_exact(&mut address[..known]).await?;
    skip(stream, length - known).await?;
    match (version_command & 0x0f, family >> 4) {
        (0, _) => Ok(ProxiedClient::Proxy),
        (1, 1) if length >= 12 => {
            let [a, b, c, d, ..] = address;
            Ok(ProxiedClient::Address(Ipv4Addr::from([a, b, c, d]).into()))
        }
        (1, 2) if length >= 36 => {
            let bits = address.first_chunk::<16>().copied().unwrap_or_default();
            Ok(ProxiedClient::Address(IpAddr::from(Ipv6Addr::from(bits)).to_canonical()))
        }
        // Unspecified, or a socket of Unix.
        (1, 0 | 3) => Ok(ProxiedClient::Unnamed),
        _ => Err(invalid("invalid header of the PROXY protocol")),
    }
}

async fn skip(stream: &mut (impl AsyncRead + Unpin), mut bytes: usize) -> io::Result<()> {
    let mut skipped = [0; 256];
    while bytes > 0 {
        let part = bytes.min(skipped.len());
        stream.read_exact(&mut skipped[..part]).await?;
        bytes -= part;
    }
    Ok(())
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// A header with this command, family and address block, whose length may lie.
    fn header(command: u8, family: u8, length: u16, block: &[u8]) -> Vec<u8> {
        [&SIGNATURE[..], &[0x20 | command, family], &length.to_be_bytes(), block].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0x1c, 0xe8];

    /// What is read of these bytes, and what is left of them.
    async fn read(bytes: &[u8], step: usize) -> (io::Result<ProxiedClient>, Vec<u8>) {
        let (mut proxy, mut stream) = tokio::io::duplex(step);
        let bytes = bytes.to_vec();
        let sending = tokio::spawn(async move {
            for part in bytes.chunks(step) {
                let _ = proxy.write_all(part).await;
            }
        });
        let client = read_header(&mut stream).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        sending.await.expect("no panic");
        (client, rest)
    }

    #[tokio::test]
    async fn the_address_is_read_however_the_bytes_arrive_and_nothing_after_it() {
        let v6 = [&Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).octets()[..], &[0; 20]].concat();
        let extended = [&V4[..], &[0x03, 0, 4, 1, 2, 3, 4]].concat();
        let certificate = [&v6[..], &[0x20; 65_000]].concat();
        for (block, family, expected) in
            [(&V4[..], 0x11, "192.0.2.1"), (&v6, 0x21, "2001:db8::7"), (&extended, 0x11, "192.0.2.1"), (&certificate, 0x21, "2001:db8::7")]
        {
            for step in [1, 7, 16, 10_000] {
                let bytes = [&header(1, family, block.len() as u16, block)[..], b"GET / "].concat();
                let (client, rest) = read(&bytes, step).await;
                assert_eq!(client.expect("is read"), ProxiedClient::Address(expected.parse().expect("an address")), "in steps of {step}");
                assert_eq!(rest, b"GET / ");
            }
        }
    }

    #[tokio::test]
    async fn a_health_check_is_the_proxys_own_and_a_client_without_an_address_is_somebody() {
        for (command, family, block, expected) in [
            (0, 0, &[][..], ProxiedClient::Proxy),
            (0, 0x11, &V4, ProxiedClient::Proxy),
            (0, 0x77, &[1; 100], ProxiedClient::Proxy),
            (1, 0, &[], ProxiedClient::Unnamed),
            (1, 0x31, &[0; 216], ProxiedClient::Unnamed),
        ] {
            let bytes = [&header(command, family, block.len() as u16, block)[..], b"GET"].concat();
            let (client, rest) = read(&bytes, 64).await;
            assert_eq!((client.expect("is read"), &rest[..]), (expected, &b"GET"[..]), "{command} {family}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let plain = b"GET /health/ready HTTP/1.1\r\n\r\n".to_vec();
        let version_1 = b"PROXY TCP4 192.0.2.1 10.0.0.1 4660 7400\r\n".to_vec();
        let mut of_version_3 = header(1, 0x11, 12, &V4);
        of_version_3[12] = 0x31;
        for bytes in [
            plain,
            version_1,
            of_version_3,
            header(2, 0x11, 12, &V4),
            header(1, 0x11, 8, &V4[..8]),
            header(1, 0x21, 12, &V4),
            header(1, 0x41, 12, &V4),
            header(1, 0x11, 60_000, &V4),
            header(1, 0x11, 200, &V4),
            SIGNATURE.to_vec(),
        ] {
            assert!(read(&bytes, 10_000).await.0.is_err(), "{bytes:?}");
        }
    }
}
