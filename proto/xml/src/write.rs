//! Writing documents.

use crate::decode::is_char;

/// Writes one document, element by element, indented by nothing. Names come from our own sources;
/// values are escaped, and what XML cannot hold becomes a space.
#[derive(Debug)]
pub struct Writer {
    out: String,
    /// Prefix, empty for none, and name of each element that has begun.
    open: Vec<(&'static str, &'static str)>,
    /// The last start tag is not yet closed by its `>`.
    within_tag: bool,
}

impl Writer {
    /// Begins a document with its root. `namespace` is that of all names without a prefix,
    /// `prefixes` are further ones.
    pub fn new(root: &'static str, namespace: &str, prefixes: &[(&str, &str)]) -> Self {
        let out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n");
        let mut writer = Self { out, open: Vec::new(), within_tag: false };
        writer.open(root).attribute("xmlns", namespace);
        for (prefix, namespace) in prefixes {
            writer.attribute(&format!("xmlns:{prefix}"), namespace);
        }
        writer
    }

    /// Begins an element; its attributes follow at once. The name may have a prefix.
    pub fn open(&mut self, name: &'static str) -> &mut Self {
        self.open_prefixed("", name)
    }

    /// Begins an element whose prefix and name are apart.
    pub fn open_prefixed(&mut self, prefix: &'static str, name: &'static str) -> &mut Self {
        self.close_tag();
        self.out.push('<');
        self.open.push((prefix, name));
        self.push_name(prefix, name);
        self.within_tag = true;
        self
    }

    fn push_name(&mut self, prefix: &str, name: &str) {
        if !prefix.is_empty() {
            self.out.push_str(prefix);
            self.out.push(':');
        }
        self.out.push_str(name);
    }

    /// An attribute of the element that was just begun; left out anywhere else.
    pub fn attribute(&mut self, name: &str, value: impl AsRef<str>) -> &mut Self {
        if self.within_tag {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            push_escaped(&mut self.out, value.as_ref(), true);
            self.out.push('"');
        }
        self
    }

    /// The same if there is a value.
    pub fn attribute_if(&mut self, name: &str, value: Option<impl AsRef<str>>) -> &mut Self {
        if let Some(value) = value {
            self.attribute(name, value);
        }
        self
    }

    /// Text within the element.
    pub fn text(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.close_tag();
        push_escaped(&mut self.out, text.as_ref(), false);
        self
    }

    /// Ends the element that was begun last.
    pub fn close(&mut self) -> &mut Self {
        let Some((prefix, name)) = self.open.pop() else { return self };
        if std::mem::take(&mut self.within_tag) {
            self.out.push_str("/>");
        } else {
            self.out.push_str("</");
            self.push_name(prefix, name);
            self.out.push('>');
        }
        self
    }

    /// A whole element that holds this text alone.
    pub fn leaf(&mut self, name: &'static str, text: impl AsRef<str>) -> &mut Self {
        self.open(name).text(text).close()
    }

    /// The same if there is a text.
    pub fn leaf_if(&mut self, name: &'static str, text: Option<impl AsRef<str>>) -> &mut Self {
        if let Some(text) = text {
            self.leaf(name, text);
        }
        self
    }

    /// The document, with every element ended.
    pub fn end(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.out.push_str("\r\n");
        self.out
    }

    fn close_tag(&mut self) {
        if std::mem::take(&mut self.within_tag) {
            self.out.push('>');
        }
    }
}

fn push_escaped(out: &mut String, text: &str, attribute: bool) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if attribute => out.push_str("&quot;"),
            // A reader would make spaces or other line breaks of them.
            '\r' => out.push_str("&#13;"),
            '\n' if attribute => out.push_str("&#10;"),
            '\t' if attribute => out.push_str("&#9;"),
            c if is_char(c) => out.push(c),
            _ => out.push(' '),
        }
    }
}
