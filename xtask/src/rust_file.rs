//! A Rust file as the items and words that `tidy` judges. Tokens, not a syntax tree: enough, and quick to build.

use std::str::FromStr;

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

/// What stood in one file.
#[derive(Default)]
pub struct RustFile {
    pub attributes: Vec<Attribute>,
    pub calls: Vec<Named>,
    /// Names given here: items, fields, parameters, `let`.
    pub definitions: Vec<Named>,
    pub enums: Vec<Enum>,
    pub functions: Vec<Function>,
    pub macros: Vec<Named>,
    pub public_fields: Vec<Field>,
    pub types: Vec<Named>,
}

pub struct Attribute {
    pub line: usize,
    /// Its tokens without spaces, as in `allow(clippy::todo)`.
    pub text: String,
}

pub struct Named {
    pub line: usize,
    pub name: String,
    pub in_test: bool,
}

pub struct Enum {
    pub name: String,
    pub variants: Vec<Variant>,
}

pub struct Variant {
    pub line: usize,
    pub name: String,
    /// The tokens of its payload without spaces, attributes included.
    pub payload: String,
}

pub struct Function {
    pub line: usize,
    pub name: String,
    /// Lines from its `fn` to its closing brace.
    pub lines: usize,
}

pub struct Field {
    pub line: usize,
    pub name: String,
    pub kind: String,
}

impl RustFile {
    /// Errors: the text has no end to a bracket, string or comment.
    pub fn read(text: &str, in_test: bool) -> Result<Self, String> {
        let stream = TokenStream::from_str(text).map_err(|error| error.to_string())?;
        let mut file = Self::default();
        file.walk(stream, in_test);
        Ok(file)
    }

    fn walk(&mut self, stream: TokenStream, in_test: bool) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut test_next = false;
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) if after_hash(&tokens, at) => {
                    let text = joined(group.stream());
                    test_next |= text == "cfg(test)" || text.starts_with("cfg(all(test");
                    self.attributes.push(Attribute { line: line_of(token), text });
                }
                TokenTree::Group(group) => {
                    let opens_item = group.delimiter() == Delimiter::Brace;
                    self.walk(group.stream(), in_test || (test_next && opens_item));
                    test_next &= !opens_item;
                }
                TokenTree::Ident(ident) => {
                    let word = ident.to_string();
                    self.item(&word, &tokens, at, in_test || test_next);
                    self.word(word, &tokens, at, in_test || test_next);
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => test_next = false,
                TokenTree::Punct(_) | TokenTree::Literal(_) => (),
            }
        }
    }

    /// A keyword that begins an item, with the name behind it.
    fn item(&mut self, keyword: &str, tokens: &[TokenTree], at: usize, in_test: bool) {
        let Some(TokenTree::Ident(ident)) = tokens.get(at + 1) else { return };
        let (name, line) = (ident.to_string(), line_of(&tokens[at]));
        let body = || {
            let rest = tokens[at + 2..].iter();
            let until_end = rest.take_while(|token| !is_punct(Some(token), ';'));
            until_end.filter_map(braces).next()
        };
        match keyword {
            "enum" => {
                let variants = body().map_or(Vec::new(), |body| variants(body.stream()));
                self.enums.push(Enum { name: name.clone(), variants });
                self.types.push(Named { line, name, in_test });
            }
            "struct" => {
                let fields = body().map_or(Vec::new(), |body| public_fields(body.stream()));
                self.public_fields.extend(fields);
                self.types.push(Named { line, name, in_test });
            }
            "trait" | "type" | "union" => self.types.push(Named { line, name, in_test }),
            "fn" => {
                let end = body().map_or(line, |body| body.span_close().end().line);
                self.functions.push(Function { line, name, lines: end - line + 1 });
            }
            _ => (),
        }
    }

    fn word(&mut self, word: String, tokens: &[TokenTree], at: usize, in_test: bool) {
        const NAMING: [&str; 12] = [
            "const", "enum", "fn", "let", "mod", "mut", "static", "struct", "trait", "type",
            "union", "for",
        ];
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        let named = matches!(before, Some(TokenTree::Ident(keyword)) if NAMING.contains(&keyword.to_string().as_str()));
        let next = tokens.get(at + 1);
        let line = line_of(&tokens[at]);
        let annotated = matches!(next, Some(TokenTree::Punct(punct))
            if punct.as_char() == ':' && punct.spacing() == Spacing::Alone)
            && !is_punct(before, ':');
        if is_punct(next, '!') && matches!(tokens.get(at + 2), Some(TokenTree::Group(_))) {
            self.macros.push(Named { line, name: word, in_test });
        } else if named || annotated {
            self.definitions.push(Named { line, name: word, in_test });
        } else if matches!(next, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis)
        {
            self.calls.push(Named { line, name: word, in_test });
        }
    }
}

fn line_of(token: &TokenTree) -> usize {
    token.span().start().line
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// Whether the group at `at` is an attribute: `#[…]` or `#![…]`.
fn after_hash(tokens: &[TokenTree], at: usize) -> bool {
    let back = |steps: usize| at.checked_sub(steps).and_then(|before| tokens.get(before));
    is_punct(back(1), '#') || (is_punct(back(1), '!') && is_punct(back(2), '#'))
}

fn braces(token: &TokenTree) -> Option<&Group> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
        _ => None,
    }
}

fn joined(stream: TokenStream) -> String {
    stream.to_string().replace(char::is_whitespace, "")
}

fn variants(stream: TokenStream) -> Vec<Variant> {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut found = Vec::new();
    for part in tokens.split(|token| is_punct(Some(token), ',')) {
        let Some(at) = part.iter().position(|token| matches!(token, TokenTree::Ident(_))) else {
            continue;
        };
        let payload = match part.get(at + 1) {
            Some(TokenTree::Group(group)) => joined(group.stream()),
            _ => String::new(),
        };
        found.push(Variant { line: line_of(&part[at]), name: part[at].to_string(), payload });
    }
    found
}

/// Fields that are `pub name: Kind` with a kind of one word.
fn public_fields(stream: TokenStream) -> Vec<Field> {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let public = matches!(token, TokenTree::Ident(ident) if ident == "pub");
        if let (true, [TokenTree::Ident(name), colon, TokenTree::Ident(kind), ..]) =
            (public, &tokens[at + 1..])
            && is_punct(Some(colon), ':')
        {
            let (name, kind) = (name.to_string(), kind.to_string());
            found.push(Field { line: line_of(token), name, kind });
        }
    }
    found
}
