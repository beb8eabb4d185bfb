//! XML that is written, never read: a tree of elements as a document.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

/// An element: a name of the model's, and a text or other elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XmlElement {
    name: &'static str,
    content: XmlContent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum XmlContent {
    Text(String),
    Children(Vec<XmlElement>),
}

impl XmlElement {
    pub fn text(name: &'static str, text: impl Into<String>) -> XmlElement {
        XmlElement { name, content: XmlContent::Text(text.into()) }
    }

    pub fn parent(name: &'static str, children: Vec<XmlElement>) -> XmlElement {
        XmlElement { name, content: XmlContent::Children(children) }
    }

    /// A list: each of `members` is the content of one `member`.
    pub fn list(name: &'static str, members: impl IntoIterator<Item = Vec<XmlElement>>) -> XmlElement {
        XmlElement::parent(name, members.into_iter().map(|children| XmlElement::parent("member", children)).collect())
    }

    /// A list of texts.
    pub fn texts(name: &'static str, members: impl IntoIterator<Item = String>) -> XmlElement {
        XmlElement::parent(name, members.into_iter().map(|text| XmlElement::text("member", text)).collect())
    }

    /// A map of texts, as sns writes it: an `entry` with `key` and `value` each.
    pub fn map(name: &'static str, entries: impl IntoIterator<Item = (String, String)>) -> XmlElement {
        let entry = |(key, value): (String, String)| {
            XmlElement::parent("entry", vec![XmlElement::text("key", key), XmlElement::text("value", value)])
        };
        XmlElement::parent(name, entries.into_iter().map(entry).collect())
    }
}

/// A document with this root, which has the namespace.
pub fn document(root: &XmlElement, namespace: Option<&str>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    // Writing to memory does not fail.
    drop(writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None))));
    writer.get_mut().push(b'\n');
    let mut start = BytesStart::new(root.name);
    if let Some(namespace) = namespace {
        start.push_attribute(("xmlns", namespace));
    }
    write(&mut writer, root, start);
    writer.into_inner()
}

/// As deep as the tree, which the server's own code makes.
fn write(writer: &mut Writer<Vec<u8>>, element: &XmlElement, start: BytesStart<'_>) {
    drop(writer.write_event(Event::Start(start)));
    match &element.content {
        XmlContent::Text(text) => drop(writer.write_event(Event::Text(BytesText::from_escaped(escaped(text))))),
        XmlContent::Children(children) => children.iter().for_each(|child| write(writer, child, BytesStart::new(child.name))),
    }
    drop(writer.write_event(Event::End(BytesEnd::new(element.name))));
}

/// A text with what XML reserves escaped. A carriage return is escaped as well, because a parser would make a line feed of it; and a character
/// that no XML 1.0 document can have (its section 2.2), escaped or not, becomes U+FFFD: one of them would make the whole answer unreadable.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\r' => escaped.push_str("&#13;"),
            '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => escaped.push(c),
            _ => escaped.push('\u{fffd}'),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_characters_that_xml_has_not_are_replaced() {
        // s3s and botocore had reports of answers that one control character made unreadable.
        assert_eq!(escaped("a<b>&\"'\r\n\t\u{1f600}"), "a&lt;b&gt;&amp;&quot;&apos;&#13;\n\t\u{1f600}");
        assert_eq!(escaped("\u{0}\u{1}\u{b}\u{1f}\u{fffe}\u{ffff}\u{7f}"), "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{7f}");
    }

    #[test]
    fn a_tree_is_a_document() {
        let root = XmlElement::parent(
            "R",
            vec![
                XmlElement::list("Users", [vec![XmlElement::text("Name", "a")], vec![]]),
                XmlElement::texts("Names", ["x".to_owned(), "]]>".to_owned()]),
                XmlElement::map("Attributes", [("k".to_owned(), String::new())]),
            ],
        );
        let text = String::from_utf8(document(&root, Some("urn:a&b"))).unwrap();
        assert_eq!(
            text,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<R xmlns=\"urn:a&amp;b\"><Users><member><Name>a</Name></member><member></member></Users>\
             <Names><member>x</member><member>]]&gt;</member></Names>\
             <Attributes><entry><key>k</key><value></value></entry></Attributes></R>"
        );
    }

    #[test]
    fn what_was_written_is_what_a_parser_reads() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..2_000 {
            let text: String = std::iter::repeat_with(|| random.char(' '..='\u{fffd}')).take(20).collect();
            let document = String::from_utf8(document(&XmlElement::text("T", text.as_str()), None)).unwrap();
            let mut reader = quick_xml::Reader::from_str(&document);
            let mut read = String::new();
            loop {
                match reader.read_event().unwrap() {
                    Event::Text(piece) => read.push_str(&piece.decode().unwrap()),
                    Event::GeneralRef(reference) => read.push_str(&match reference.resolve_char_ref().unwrap() {
                        Some(c) => c.to_string(),
                        None => quick_xml::escape::resolve_xml_entity(&reference.decode().unwrap()).unwrap().to_owned(),
                    }),
                    Event::Eof => break,
                    _ => {}
                }
            }
            assert_eq!(read.trim_start_matches('\n'), text);
        }
    }
}
