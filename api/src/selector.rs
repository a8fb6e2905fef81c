//! The selector language of `nodeSelector` fields: parse, print, match.
//!
//! ```text
//! or    := and ('||' and)*
//! and   := unary ('&&' unary)*
//! unary := '!' unary | '(' or ')' | 'all()' | 'has(' key ')'
//!        | key '==' value | key '!=' value | key 'in' '{' values '}' | key 'not in' '{' values '}'
//! ```
//! An empty text selects everything, as `all()` does. `key != 'v'` and `key not in {...}` also select what lacks
//! the key, as Kubernetes' own `NotIn` does.

use std::{collections::BTreeMap, fmt};

use parser::Parser;
use serde::{Deserialize, Serialize};

mod parser;

#[cfg(test)]
mod tests;

/// Deepest nesting of parentheses and `!`: bounds the parser's stack on any input.
const DEPTH_MAX: usize = 32;

/// The text that selects everything; the default of every selector field.
pub fn all_text() -> String {
    "all()".to_owned()
}

/// A parsed selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selector {
    /// Everything.
    All,
    /// What has a label of this key.
    Has(String),
    /// What has this label with one of these values.
    In(String, Vec<String>),
    /// What has not: another value, or no such label.
    NotIn(String, Vec<String>),
    /// What the inner selector does not select.
    Not(Box<Selector>),
    /// What all of them select.
    And(Vec<Selector>),
    /// What any of them selects.
    Or(Vec<Selector>),
}

/// Why a text is not a selector: the place, in bytes from its start, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorError {
    /// Bytes from the start of the text.
    pub position: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "selector: expected {} at character {}", self.expected, self.position + 1)
    }
}

impl std::error::Error for SelectorError {}

impl Selector {
    /// The selector that the text means.
    ///
    /// # Errors
    /// The first place that is not understood.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.trim().is_empty() {
            return Ok(Self::All);
        }
        let mut parser = Parser::new(text);
        let selector = parser.or(DEPTH_MAX)?;
        parser.end()?;
        Ok(selector)
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::All => true,
            Self::Has(key) => labels.contains_key(key),
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Not(inner) => !inner.matches(labels),
            Self::And(parts) => parts.iter().all(|part| part.matches(labels)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(labels)),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all()"),
            Self::Has(key) => write!(f, "has({key})"),
            Self::In(key, values) => write_values(f, key, "==", "in", values),
            Self::NotIn(key, values) => write_values(f, key, "!=", "not in", values),
            Self::Not(inner) => write!(f, "!({inner})"),
            Self::And(parts) => write_joined(f, parts, " && "),
            Self::Or(parts) => write_joined(f, parts, " || "),
        }
    }
}

fn write_values(
    f: &mut fmt::Formatter<'_>,
    key: &str,
    one: &str,
    many: &str,
    values: &[String],
) -> fmt::Result {
    let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
    match quoted.as_slice() {
        [value] => write!(f, "{key} {one} {value}"),
        _ => write!(f, "{key} {many} {{{}}}", quoted.join(", ")),
    }
}

/// The value in the quotes that it does not contain itself; the language has no escapes.
fn quote(value: &str) -> String {
    if value.contains('\'') { format!("\"{value}\"") } else { format!("'{value}'") }
}

fn write_joined(f: &mut fmt::Formatter<'_>, parts: &[Selector], joint: &str) -> fmt::Result {
    let texts: Vec<String> = parts
        .iter()
        .map(|part| match part {
            Selector::And(_) | Selector::Or(_) => format!("({part})"),
            _ => part.to_string(),
        })
        .collect();
    f.write_str(&texts.join(joint))
}
