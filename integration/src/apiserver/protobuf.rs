//! Request bodies in Kubernetes' protobuf, which kubectl sends when it makes an object from its
//! arguments (`kubectl create namespace`).
//!
//! Only the messages in [`tables`] are read; a field that is not in its table is refused, because
//! dropping it would be a silent loss.

use std::fmt;

use serde_json::{Map, Value, json};

mod tables;

/// What every body starts with.
const MAGIC: &[u8] = b"k8s\0";

/// Deepest nesting of messages: deeper than any of the tables.
const DEPTH_MAX: usize = 16;

/// How a field is encoded, and what it is in JSON.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// A zero is an absent value.
    Int,
    /// A zero is a value.
    GivenInt,
    Bool,
    Message(&'static [Field]),
    TextMap,
    BytesMap,
    Time,
    IntOrString,
}

/// One field: number, name in JSON, encoding, whether it repeats.
type Field = (u32, &'static str, Kind, bool);

/// Why a body cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn unreadable(why: impl Into<String>) -> Unreadable {
    Unreadable(why.into())
}

/// The object in the body.
///
/// # Errors
/// What is malformed, or which kind or field is not in the tables.
pub(crate) fn decode(body: &[u8]) -> Result<Value, Unreadable> {
    let body = body
        .strip_prefix(MAGIC)
        .ok_or_else(|| unreadable("the body does not start with the magic of protobuf"))?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for part in Parts(body) {
        match part? {
            (1, Wire::Length(type_meta)) => {
                for part in Parts(type_meta) {
                    match part? {
                        (1, Wire::Length(text)) => api_version = utf8(text)?,
                        (2, Wire::Length(text)) => kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Length(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let table =
        tables::of(&kind).ok_or_else(|| unreadable(format!("kind {kind:?} is not read in protobuf")))?;
    let mut object = message(table, raw, 0)?;
    object.insert("apiVersion".to_owned(), json!(api_version));
    object.insert("kind".to_owned(), json!(kind));
    Ok(Value::Object(object))
}

fn message(table: &[Field], bytes: &[u8], depth: usize) -> Result<Map<String, Value>, Unreadable> {
    if depth > DEPTH_MAX {
        return Err(unreadable(format!("messages are nested more than {DEPTH_MAX} levels deep")));
    }
    let mut members = Map::new();
    for part in Parts(bytes) {
        let (number, wire) = part?;
        let (_, name, kind, repeats) = table
            .iter()
            .find(|(known, ..)| *known == number)
            .ok_or_else(|| unreadable(format!("field {number} is not known here; send JSON instead")))?;
        match (*kind, wire) {
            (Kind::TextMap, Wire::Length(entry)) => {
                insert_entry(&mut members, name, entry, |text| Ok(json!(utf8(text)?)))?;
            }
            (Kind::BytesMap, Wire::Length(entry)) => {
                insert_entry(&mut members, name, entry, |bytes| Ok(base64(bytes)))?;
            }
            (kind, wire) => {
                let Some(value) = field(kind, wire, depth)? else { continue };
                if *repeats {
                    let list = members.entry(*name).or_insert_with(|| json!([]));
                    list.as_array_mut().into_iter().for_each(|list| list.push(value.clone()));
                } else {
                    members.insert((*name).to_owned(), value);
                }
            }
        }
    }
    Ok(members)
}

/// A field's value, `None` for what JSON leaves out.
fn field(kind: Kind, wire: Wire<'_>, depth: usize) -> Result<Option<Value>, Unreadable> {
    Ok(match (kind, wire) {
        (Kind::Text, Wire::Length(text)) => {
            Some(utf8(text)?).filter(|text| !text.is_empty()).map(Value::String)
        }
        (Kind::Int, Wire::Varint(number)) => {
            Some(number).filter(|&number| number != 0).map(|number| json!(number.cast_signed()))
        }
        (Kind::GivenInt, Wire::Varint(number)) => Some(json!(number.cast_signed())),
        (Kind::Bool, Wire::Varint(number)) => Some(json!(number != 0)),
        (Kind::Message(table), Wire::Length(bytes)) => Some(Value::Object(message(table, bytes, depth + 1)?)),
        (Kind::Time, Wire::Length(bytes)) => time(bytes)?,
        (Kind::IntOrString, Wire::Length(bytes)) => Some(int_or_string(bytes)?),
        _ => return Err(unreadable("a field has another wire type than its table says")),
    })
}

fn insert_entry(
    members: &mut Map<String, Value>,
    name: &str,
    entry: &[u8],
    read: impl Fn(&[u8]) -> Result<Value, Unreadable>,
) -> Result<(), Unreadable> {
    let (mut key, mut value) = (String::new(), read(&[])?);
    for part in Parts(entry) {
        match part? {
            (1, Wire::Length(text)) => key = utf8(text)?,
            (2, Wire::Length(bytes)) => value = read(bytes)?,
            _ => {}
        }
    }
    members.entry(name).or_insert_with(|| json!({}))[key] = value;
    Ok(())
}

/// Seconds and nanoseconds since 1970; no seconds are no time.
fn time(bytes: &[u8]) -> Result<Option<Value>, Unreadable> {
    let mut seconds = 0;
    for part in Parts(bytes) {
        if let (1, Wire::Varint(number)) = part? {
            seconds = number.cast_signed();
        }
    }
    let moment =
        k8s_openapi::jiff::Timestamp::from_second(seconds).map_err(|error| unreadable(error.to_string()))?;
    Ok((seconds != 0).then(|| json!(crate::apiserver::object::time_text(moment))))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Unreadable> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    for part in Parts(bytes) {
        match part? {
            (1, Wire::Varint(kind)) => is_text = kind != 0,
            (2, Wire::Varint(value)) => number = value.cast_signed(),
            (3, Wire::Length(value)) => text = utf8(value)?,
            _ => {}
        }
    }
    Ok(if is_text { json!(text) } else { json!(number) })
}

fn utf8(bytes: &[u8]) -> Result<String, Unreadable> {
    String::from_utf8(bytes.to_vec()).map_err(|_| unreadable("a text is not UTF-8"))
}

fn base64(bytes: &[u8]) -> Value {
    json!(k8s_openapi::ByteString(bytes.to_vec()))
}

/// A field as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wire<'a> {
    Varint(u64),
    Length(&'a [u8]),
}

/// The fields of a message, in order.
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = Result<(u32, Wire<'a>), Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let part = self.part();
        if part.is_err() {
            self.0 = &[];
        }
        Some(part)
    }
}

impl<'a> Parts<'a> {
    fn part(&mut self) -> Result<(u32, Wire<'a>), Unreadable> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| unreadable("a field's number is too large"))?;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                let (taken, rest) =
                    self.0.split_at_checked(length).ok_or_else(|| unreadable("a field is cut off"))?;
                self.0 = rest;
                Wire::Length(taken)
            }
            other => return Err(unreadable(format!("wire type {other} is not used by Kubernetes"))),
        };
        Ok((number, wire))
    }

    fn varint(&mut self) -> Result<u64, Unreadable> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or_else(|| unreadable("a number is cut off"))?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(unreadable("a number is longer than 64 bits"))
    }
}

#[cfg(test)]
mod tests;
