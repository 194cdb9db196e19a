//! Rust source as words and punctuation: as much of the language as the layering test needs.

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Word(String),
    /// `::`
    Path,
    Mark(char),
}

#[derive(Debug, Clone)]
pub struct Token {
    pub kind: Kind,
    pub line: usize,
    /// Inside `#[cfg(test)]`: layering holds there too, the ban on `unwrap` does not.
    pub test: bool,
}

impl Token {
    pub fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    pub fn is(&self, text: &str) -> bool {
        match &self.kind {
            Kind::Word(word) => word == text,
            Kind::Path => text == "::",
            Kind::Mark(mark) => text.len() == 1 && text.starts_with(*mark),
        }
    }
}

/// Splits Rust source into words and punctuation; comments, strings and character literals leave no token.
pub fn tokenize(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let start = at;
        let kind = match chars[at] {
            '/' if starts(&chars, at, "//") => {
                at = find(&chars, at, '\n');
                None
            }
            '/' if starts(&chars, at, "/*") => {
                at = after_block_comment(&chars, at);
                None
            }
            '"' => {
                at = after_string(&chars, at);
                None
            }
            '\'' => {
                at = after_quote(&chars, at);
                None
            }
            ':' if starts(&chars, at, "::") => {
                at += 2;
                Some(Kind::Path)
            }
            first if first.is_alphanumeric() || first == '_' => {
                while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                    at += 1;
                }
                let word: String = chars[start..at].iter().collect();
                match after_raw_string(&chars, at, &word) {
                    Some(end) => {
                        at = end;
                        None
                    }
                    None => Some(Kind::Word(word)),
                }
            }
            mark => {
                at += 1;
                (!mark.is_whitespace()).then_some(Kind::Mark(mark))
            }
        };
        if let Some(kind) = kind {
            tokens.push(Token { kind, line, test: false });
        }
        line += chars[start..at].iter().filter(|c| **c == '\n').count();
    }
    mark_tests(&mut tokens);
    tokens
}

fn starts(chars: &[char], at: usize, text: &str) -> bool {
    text.chars().enumerate().all(|(offset, c)| chars.get(at + offset) == Some(&c))
}

fn find(chars: &[char], from: usize, wanted: char) -> usize {
    chars[from..].iter().position(|c| *c == wanted).map_or(chars.len(), |offset| from + offset)
}

fn after_block_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        if starts(chars, at, "/*") {
            depth += 1;
            at += 2;
        } else if starts(chars, at, "*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn after_string(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// A quote starts a character literal (`'a'`, `'\n'`) or a lifetime (`'a`).
fn after_quote(chars: &[char], at: usize) -> usize {
    if chars.get(at + 1) == Some(&'\\') {
        return (find(chars, at + 3, '\'') + 1).min(chars.len());
    }
    if chars.get(at + 2) == Some(&'\'') { at + 3 } else { at + 1 }
}

/// The end of `r"…"`, `br#"…"#` and the like, when `word` is such a prefix.
fn after_raw_string(chars: &[char], at: usize, word: &str) -> Option<usize> {
    if !["r", "br", "cr"].contains(&word) {
        return None;
    }
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        return None;
    }
    let close: String = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = at + hashes + 1;
    Some((body..chars.len()).find(|end| starts(chars, *end, &close)).map_or(chars.len(), |end| end + close.len()))
}

/// Marks the items under `#[cfg(test)]`, or the whole file under `#![cfg(test)]`.
fn mark_tests(tokens: &mut [Token]) {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let inner = ["#", "!", "[", "cfg", "(", "test", ")", "]"];
    for at in 0..tokens.len() {
        if matches_at(tokens, at, &inner) {
            tokens.iter_mut().for_each(|token| token.test = true);
        } else if matches_at(tokens, at, &attribute) {
            let end = after_item(tokens, at + attribute.len());
            tokens[at..end].iter_mut().for_each(|token| token.test = true);
        }
    }
}

pub fn matches_at(tokens: &[Token], at: usize, pattern: &[&str]) -> bool {
    pattern.iter().enumerate().all(|(offset, text)| tokens.get(at + offset).is_some_and(|token| token.is(text)))
}

/// An item ends with its outermost block, with `;` outside all brackets, or where the block around it ends.
fn after_item(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0i32;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token.kind {
            Kind::Mark('{' | '(' | '[') => depth += 1,
            Kind::Mark(close @ ('}' | ')' | ']')) => {
                depth -= 1;
                if depth < 0 {
                    return at;
                }
                if depth == 0 && close == '}' {
                    return at + 1;
                }
            }
            Kind::Mark(';') if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Names that follow a root: `root::a` gives `a`; `root::{a::b, c}` gives `a` and `c`. `at` is the token after the root.
pub fn segments(tokens: &[Token], at: usize) -> Vec<(String, usize)> {
    if !tokens.get(at).is_some_and(|token| token.is("::")) {
        return Vec::new();
    }
    let Some(next) = tokens.get(at + 1) else { return Vec::new() };
    if !next.is("{") {
        return vec![(next.word().unwrap_or("*").to_string(), next.line)];
    }
    let (mut found, mut depth, mut expecting) = (Vec::new(), 0, true);
    for token in &tokens[at + 1..] {
        match &token.kind {
            Kind::Mark('{') => depth += 1,
            Kind::Mark('}') if depth == 1 => break,
            Kind::Mark('}') => depth -= 1,
            Kind::Mark(',') if depth == 1 => expecting = true,
            Kind::Word(word) if depth == 1 && expecting => {
                found.push((word.clone(), token.line));
                expecting = false;
            }
            Kind::Mark('*') if depth == 1 && expecting => {
                found.push(("*".into(), token.line));
                expecting = false;
            }
            _ => {}
        }
    }
    found
}
