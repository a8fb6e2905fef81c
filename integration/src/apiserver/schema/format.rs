//! The string and number formats that schemas name.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use k8s_openapi::jiff;
use serde_json::Value;

/// Whether `value` has the format; a format that is not known constrains nothing, as in Kubernetes.
pub(super) fn matches(format: &str, value: &Value) -> bool {
    match (format, value) {
        ("int32", Value::Number(number)) => {
            number.as_i64().is_none_or(|number| i32::try_from(number).is_ok()) && !number.is_u64()
                || number.as_u64().is_some_and(|number| i32::try_from(number).is_ok())
        }
        ("int64", Value::Number(number)) => !number.is_u64() || number.as_i64().is_some(),
        (_, Value::String(text)) => matches_text(format, text),
        _ => true,
    }
}

fn matches_text(format: &str, text: &str) -> bool {
    match format {
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => text.contains('/') && text.parse::<IpNetwork>().is_ok(),
        "mac" => is_mac(text),
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "uuid" => is_uuid(text),
        _ => true,
    }
}

fn is_mac(text: &str) -> bool {
    let is_octet = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split(':').count() == 6 && text.split(':').all(is_octet)
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}
