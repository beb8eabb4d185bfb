//! Redis' wire format, RESP 2 (Redis documentation, "Redis serialization protocol specification"), as far as a simulated device needs it.

/// A reply, or a message to a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RespValue {
    Text(Vec<u8>),
    Number(i64),
    List(Vec<RespValue>),
    Nothing,
    Error(String),
}

/// Bytes that are not a reply.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidReply;

/// Appends a command: a list of texts.
pub fn command(arguments: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

/// The first reply and its length, once it is complete.
pub fn parse(bytes: &[u8]) -> Result<Option<(RespValue, usize)>, InvalidReply> {
    // A reply that comes in several parts is looked at each time, so nothing is copied before it is complete.
    match complete_length(bytes)? {
        Some(length) => Ok(Some((value(&bytes[..length])?.0, length))),
        None => Ok(None),
    }
}

/// The length of the first reply; `None` if its end is missing.
fn complete_length(bytes: &[u8]) -> Result<Option<usize>, InvalidReply> {
    let (mut at, mut missing) = (0, 1_usize);
    while missing > 0 {
        let Some(ReplyLine { kind, text, bytes: line_bytes }) = line(&bytes[at..])? else { return Ok(None) };
        at += line_bytes;
        missing -= 1;
        match (kind, number(text)) {
            (b'$', Ok(length @ 0..)) => {
                at += length as usize + 2;
                if at > bytes.len() {
                    return Ok(None);
                }
            }
            (b'*', Ok(length @ 0..)) => missing += length as usize,
            (b'$' | b'*', Err(invalid)) => return Err(invalid),
            _ => {}
        }
    }
    Ok(Some(at))
}

/// The first value of bytes that hold all of it, and its length.
fn value(bytes: &[u8]) -> Result<(RespValue, usize), InvalidReply> {
    let ReplyLine { kind, text, bytes: mut at } = line(bytes)?.ok_or(InvalidReply)?;
    let value = match kind {
        b'+' => RespValue::Text(text.to_vec()),
        b'-' => RespValue::Error(String::from_utf8_lossy(text).into_owned()),
        b':' => RespValue::Number(number(text)?),
        b'$' | b'*' if number(text)? < 0 => RespValue::Nothing,
        b'$' => {
            let length = number(text)? as usize;
            let text = bytes.get(at..at + length).ok_or(InvalidReply)?.to_vec();
            at += length + 2;
            RespValue::Text(text)
        }
        b'*' => {
            let items = (0..number(text)?).map(|_| {
                let (item, length) = value(bytes.get(at..).ok_or(InvalidReply)?)?;
                at += length;
                Ok(item)
            });
            RespValue::List(items.collect::<Result<_, InvalidReply>>()?)
        }
        _ => return Err(InvalidReply),
    };
    Ok((value, at))
}

/// The line that a value begins with.
struct ReplyLine<'a> {
    kind: u8,
    text: &'a [u8],
    /// Its length with its end.
    bytes: usize,
}

/// The first line, once it is complete.
fn line(bytes: &[u8]) -> Result<Option<ReplyLine<'_>>, InvalidReply> {
    let Some(end) = bytes.windows(2).position(|end| end == b"\r\n") else { return Ok(None) };
    match bytes[..end].split_first() {
        Some((kind, text)) if b"+-:$*".contains(kind) => Ok(Some(ReplyLine { kind: *kind, text, bytes: end + 2 })),
        _ => Err(InvalidReply),
    }
}

fn number(text: &[u8]) -> Result<i64, InvalidReply> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(InvalidReply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_of_every_kind_are_parsed_once_they_are_complete() {
        let text = |text: &str| RespValue::Text(text.as_bytes().to_vec());
        let nested = RespValue::List(vec![text("a"), RespValue::List(vec![RespValue::Number(-7), RespValue::Nothing]), text("b\r\n")]);
        for (bytes, value) in [
            ("+OK\r\n", text("OK")),
            (":12\r\n", RespValue::Number(12)),
            ("$-1\r\n", RespValue::Nothing),
            ("-ERR no\r\n", RespValue::Error("ERR no".to_owned())),
            ("*0\r\n", RespValue::List(Vec::new())),
            ("*3\r\n$1\r\na\r\n*2\r\n:-7\r\n$-1\r\n$3\r\nb\r\n\r\n", nested),
        ] {
            for length in 0..bytes.len() {
                assert_eq!(parse(&bytes.as_bytes()[..length]), Ok(None), "{bytes:?} {length}");
            }
            let more = [bytes.as_bytes(), b"+"].concat();
            assert_eq!(parse(&more), Ok(Some((value, bytes.len()))));
        }
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n"), Err(InvalidReply));
    }

    #[test]
    fn a_command_is_a_list_of_texts() {
        let mut bytes = Vec::new();
        command(&[b"GET", b"k"], &mut bytes);
        assert_eq!(bytes, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    }
}
