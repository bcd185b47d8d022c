//! The tree of a document.

use std::sync::Arc;

/// One element with its namespace resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Name of its namespace; empty when it is in none.
    pub namespace: Arc<str>,
    /// Its name without prefix.
    pub name: String,
    /// Its attributes without declarations of namespaces.
    pub attributes: Vec<Attribute>,
    /// What it holds, in order.
    pub nodes: Vec<Node>,
}

/// One attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Name of its namespace; empty without prefix, whatever the element's is.
    pub namespace: Arc<str>,
    /// Its name without prefix.
    pub name: String,
    /// Its value with entities resolved.
    pub value: String,
}

/// What an element holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Another element.
    Element(Element),
    /// Text with entities resolved.
    Text(String),
}

impl Element {
    /// Whether it has this name in this namespace.
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        *self.namespace == *namespace && self.name == name
    }

    /// The value of an attribute that is in no namespace.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attribute_of("", name)
    }

    /// The value of an attribute of a namespace.
    pub fn attribute_of(&self, namespace: &str, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        let is =
            |attribute: &&Attribute| attribute.name == name && *attribute.namespace == *namespace;
        attributes.find(is).map(|attribute| attribute.value.as_str())
    }

    /// All elements directly within.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The elements directly within that have this name in the namespace of this element.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.elements().filter(move |element| element.is(&self.namespace, name))
    }

    /// The first of [`all`](Self::all).
    pub fn first<'a>(&'a self, name: &'a str) -> Option<&'a Element> {
        self.all(name).next()
    }

    /// The text directly within, without white space around it.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for node in &self.nodes {
            if let Node::Text(text) = node {
                out.push_str(text);
            }
        }
        out.trim().to_owned()
    }

    /// The text of the first element directly within that has this name, unless it is empty.
    pub fn text_of(&self, name: &str) -> Option<String> {
        self.first(name).map(Element::text).filter(|text| !text.is_empty())
    }
}
