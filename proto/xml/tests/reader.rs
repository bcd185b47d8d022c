//! The reader and the writer: what is refused, what reads as what, and hostile octets.

use types::Rng;
use xml::{
    Conference, DecodeError, DialogInfo, Element, MessageSummary, Presence, Reginfo, ResourceLists,
    Writer,
};

fn read(text: &str) -> Result<Element, DecodeError> {
    Element::decode(text.as_bytes())
}

#[test]
fn namespaces_and_text() {
    let root = read(
        "\u{feff}<?xml version='1.0' encoding='US-ASCII' standalone='yes'?><?odd here?>\n\
         <a xmlns='urn:1' xmlns:p='urn:2' b='x' p:b='y&#9;&amp;\n z'><!-- no -->t&lt;<p:c xmlns:p='urn:3'/><p:c/>\
         <d xmlns=''><e b='1'/></d> &#x41;\r\n<![CDATA[<&>]]></a>\n<!-- end -->",
    )
    .unwrap();
    assert!(root.is("urn:1", "a"));
    assert_eq!(root.attribute("b"), Some("x"));
    assert_eq!(root.attribute_of("urn:2", "b"), Some("y\t&  z"));
    let spaces: Vec<_> = root.elements().map(|element| &*element.namespace).collect();
    assert_eq!(spaces, ["urn:3", "urn:2", ""]);
    assert_eq!(root.text(), "t< A\n<&>");
    assert_eq!(root.elements().last().unwrap().first("e").unwrap().attribute("b"), Some("1"));
    assert_eq!(root.first("c"), None);
    assert_eq!(root.text_of("d"), None);
}

#[test]
fn refused() {
    let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    let many = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count - 1));
    let wide = |count: usize| {
        let attributes: String = (0..count).map(|at| format!(" a{at}=''")).collect();
        format!("<a{attributes}/>")
    };
    let bombs = "<!DOCTYPE a [<!ENTITY b 'cc'><!ENTITY c '&b;&b;'>]><a>&c;</a>";
    for good in [deep(xml::DEPTH_MAX), many(xml::ELEMENTS_MAX), wide(xml::ATTRIBUTES_MAX)] {
        assert!(read(&good).is_ok());
    }
    for (bad, why) in [
        (deep(xml::DEPTH_MAX + 1), "elements too deep"),
        (many(xml::ELEMENTS_MAX + 1), "too many elements"),
        (wide(xml::ATTRIBUTES_MAX + 1), "too many attributes"),
        (" ".repeat(xml::DOCUMENT_MAX) + "<a/>", "document too long"),
        (bombs.into(), "document type"),
        ("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>".into(), "document type"),
        ("<a>&b;</a>".into(), "unknown entity"),
        ("<a b='&c;'/>".into(), "unknown entity"),
        ("<a>& </a>".into(), "unknown entity"),
        ("<a>&#0;</a>".into(), "forbidden character"),
        ("<a>&#x1F;</a>".into(), "forbidden character"),
        ("<a>&#xD800;</a>".into(), "forbidden character"),
        ("<a b='&#x1;'/>".into(), "malformed attribute"),
        ("<a>\u{1}</a>".into(), "forbidden character"),
        ("<a>\u{fffe}</a>".into(), "forbidden character"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a/>".into(), "not UTF-8"),
        ("<a b='1' b='2'/>".into(), "malformed attribute"),
        ("<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>".into(), "malformed attribute"),
        ("<a b='<'/>".into(), "malformed attribute"),
        ("<a b/>".into(), "malformed attribute"),
        ("<a b=c/>".into(), "malformed attribute"),
        ("<p:a/>".into(), "malformed namespace"),
        ("<a p:b=''/>".into(), "malformed namespace"),
        ("<a xmlns:p=''/>".into(), "malformed namespace"),
        ("<a xmlns:xml='u'/>".into(), "malformed namespace"),
        (format!("<a xmlns='{}'/>", "u".repeat(257)), "malformed namespace"),
        ("".into(), "malformed XML"),
        ("text".into(), "malformed XML"),
        ("<a>".into(), "malformed XML"),
        ("</a>".into(), "malformed XML"),
        ("<a></b>".into(), "malformed XML"),
        ("<a/><b/>".into(), "malformed XML"),
        ("<a/>text".into(), "malformed XML"),
        ("<a:b:c/>".into(), "malformed XML"),
        ("<1a/>".into(), "malformed XML"),
        ("<a".into(), "malformed XML"),
        ("<a><!-- -- --></a>".into(), "malformed XML"),
    ] {
        let found = read(&bad).map(|_| ()).map_err(|error| error.to_string());
        let fits = found.as_ref().is_err_and(|found| found.starts_with(why));
        assert!(fits, "{}: {found:?}, not {why}", bad.get(..80).unwrap_or(&bad));
    }
    assert_eq!(Element::decode(b"<a>\xff</a>"), Err(DecodeError::Encoding));
}

#[test]
fn a_writer_cannot_be_made_to_say_more() {
    let odd = "\"'<>&\r\n\t\0\u{1f}]]>\u{fffe}</a>&amp;";
    let mut writer = Writer::new("a", odd, &[("p", "urn:2")]);
    writer.attribute("b", odd).leaf("c", odd).attribute("late", "x");
    writer
        .open_prefixed("p", "d")
        .attribute_if("e", None::<&str>)
        .open("f")
        .close()
        .leaf_if("g", Some(""));
    let text = writer.end();
    let root = read(&text).unwrap();
    let kept = odd.replace(['\0', '\u{1f}', '\u{fffe}'], " ");
    assert_eq!(*root.namespace, *kept);
    assert_eq!(root.attribute("b"), Some(&*kept));
    assert_eq!(root.text_of("c").as_deref(), Some(kept.trim()));
    let d = root.elements().last().unwrap();
    assert!(d.is("urn:2", "d") && d.elements().count() == 2);
    assert_eq!(root.attributes.len(), 1);
}

const PIECES: &[&str] = &[
    "<",
    ">",
    "/>",
    "</",
    "\"",
    "'",
    "&",
    "&amp;",
    "&#x;",
    "&#65;",
    "&#99999999;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<!DOCTYPE x>",
    "<?x",
    "?>",
    " xmlns=\"\"",
    " xmlns:p='u'",
    "p:",
    ":",
    "=",
    " id='1'",
    "<a>",
    "</a>",
    "\0",
    "\u{1}",
    "\u{feff}",
    "é",
    "-1",
    "4294967296",
    " state=\"full\"",
];

#[test]
fn mutated_documents_never_panic_and_read_back() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let mut documents: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    documents.push(b"Messages-Waiting: yes\r\nVoice-Message: 4/8 (1/2)\r\n".to_vec());
    let mut rng = Rng::from_number(0x0a31);
    let (mut trees, mut read) = (0, 0);
    for round in 0..6_000 {
        let mut bytes = documents[round % documents.len()].clone();
        if round >= documents.len() {
            mutate(&mut rng, &mut bytes);
        }
        trees += usize::from(Element::decode(&bytes).is_ok());
        read += again(&bytes, Reginfo::decode, Reginfo::encode);
        read += again(&bytes, DialogInfo::decode, DialogInfo::encode);
        read += again(&bytes, Presence::decode, Presence::encode);
        read += again(&bytes, Conference::decode, Conference::encode);
        read += again(&bytes, ResourceLists::decode, ResourceLists::encode);
        read += again(&bytes, MessageSummary::decode, MessageSummary::encode);
    }
    assert!(trees > 500 && read > 500, "the mutator is too wild: {trees}, {read}");
}

fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len() as u64 + 1) as usize;
        match rng.below(8) {
            0 if rng.below(4) == 0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = rng.next_u64() as u8,
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => {
                let end = (at + rng.below(120) as usize).min(bytes.len());
                let copy = bytes[at..end].repeat(rng.below(4) as usize);
                bytes.splice(at..at, copy);
            }
            4 | 5 => {
                // A letter for another letter leaves the tags alone more often than not.
                if let Some(octet) = bytes.get_mut(at).filter(|octet| octet.is_ascii_lowercase()) {
                    *octet = b'a' + rng.below(26) as u8;
                }
            }
            _ => {
                let piece = PIECES[rng.below(PIECES.len() as u64) as usize];
                bytes.splice(at..at, piece.bytes());
            }
        }
    }
}

/// What was read reads the same after we wrote it.
fn again<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
    encode: impl Fn(&T) -> String,
) -> usize {
    let Ok(read) = decode(bytes) else { return 0 };
    let written = encode(&read);
    if written.len() <= xml::DOCUMENT_MAX {
        assert_eq!(decode(written.as_bytes()), Ok(read), "{written}");
    }
    1
}
