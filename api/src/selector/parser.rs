//! Text to [`Selector`], by recursive descent; every step looks at what is left of the text.

use super::{Selector, SelectorError};

/// The text and how far it has been read.
pub(super) struct Parser<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    /// Parts joined by `||`; `depth` bounds how much deeper it may nest.
    pub(super) fn or(&mut self, depth: usize) -> Result<Selector, SelectorError> {
        let mut parts = vec![self.and(depth)?];
        while self.take("||") {
            parts.push(self.and(depth)?);
        }
        Ok(single_or(parts, Selector::Or))
    }

    fn and(&mut self, depth: usize) -> Result<Selector, SelectorError> {
        let mut parts = vec![self.unary(depth)?];
        while self.take("&&") {
            parts.push(self.unary(depth)?);
        }
        Ok(single_or(parts, Selector::And))
    }

    fn unary(&mut self, depth: usize) -> Result<Selector, SelectorError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.expected("less nesting"));
        };
        if self.take("!") {
            return Ok(Selector::Not(Box::new(self.unary(depth)?)));
        }
        if self.take("(") {
            let inner = self.or(depth)?;
            self.require(")", "`)`")?;
            return Ok(inner);
        }
        let key = self.word("a label, `all()`, `has(label)`, `!` or `(`")?;
        match key {
            "all" if self.take("(") => self.require(")", "`)`").map(|()| Selector::All),
            "has" if self.take("(") => self.has(),
            _ => self.comparison(key.to_owned()),
        }
    }

    fn has(&mut self) -> Result<Selector, SelectorError> {
        let key = self.word("a label")?.to_owned();
        self.require(")", "`)`")?;
        Ok(Selector::Has(key))
    }

    fn comparison(&mut self, key: String) -> Result<Selector, SelectorError> {
        if self.take("==") {
            return Ok(Selector::In(key, vec![self.value()?]));
        }
        if self.take("!=") {
            return Ok(Selector::NotIn(key, vec![self.value()?]));
        }
        match self.word("`==`, `!=`, `in` or `not in`")? {
            "in" => Ok(Selector::In(key, self.values()?)),
            "not" if self.word("`in`")? == "in" => Ok(Selector::NotIn(key, self.values()?)),
            _ => Err(self.expected("`==`, `!=`, `in` or `not in` before this")),
        }
    }

    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        self.require("{", "`{`")?;
        let mut values = vec![self.value()?];
        while self.take(",") {
            values.push(self.value()?);
        }
        self.require("}", "`,` or `}`")?;
        Ok(values)
    }

    fn value(&mut self) -> Result<String, SelectorError> {
        self.skip_spaces();
        let rest = self.rest();
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
            return Err(self.expected("a value in quotes"));
        };
        let Some(length) = rest[1..].find(quote) else {
            return Err(self.expected("a value that ends with the quote it began with"));
        };
        self.position += length + 2;
        Ok(rest[1..=length].to_owned())
    }

    /// The label key or key word here: letters, digits and `-_./`.
    fn word(&mut self, expected: &'static str) -> Result<&'a str, SelectorError> {
        self.skip_spaces();
        let rest = self.rest();
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        if length == 0 {
            return Err(self.expected(expected));
        }
        self.position += length;
        Ok(&rest[..length])
    }

    /// Takes the sign if it is the next one.
    fn take(&mut self, sign: &str) -> bool {
        self.skip_spaces();
        let is_next = self.rest().starts_with(sign) && !(sign == "!" && self.rest().starts_with("!="));
        if is_next {
            self.position += sign.len();
        }
        is_next
    }

    fn require(&mut self, sign: &str, expected: &'static str) -> Result<(), SelectorError> {
        if self.take(sign) { Ok(()) } else { Err(self.expected(expected)) }
    }

    /// Nothing but spaces is left.
    pub(super) fn end(&mut self) -> Result<(), SelectorError> {
        self.skip_spaces();
        if self.rest().is_empty() { Ok(()) } else { Err(self.expected("`&&`, `||` or the end")) }
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start().len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    fn expected(&self, expected: &'static str) -> SelectorError {
        SelectorError { position: self.position, expected }
    }
}

/// The part itself where there is one alone.
fn single_or(mut parts: Vec<Selector>, many: fn(Vec<Selector>) -> Selector) -> Selector {
    if parts.len() == 1 { parts.swap_remove(0) } else { many(parts) }
}
