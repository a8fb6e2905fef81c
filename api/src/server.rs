//! Where the API server is, as the `ConfigMap` `tortie-config` says it.

use std::{net::Ipv6Addr, str::FromStr};

/// The port of an API server whose address names none.
const PORT: u16 = 6443;

/// The API server's address, or that none is given: then the Service `kubernetes` is asked, which works
/// only where something, usually kube-proxy, translates its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiServer {
    url: Option<String>,
}

impl ApiServer {
    /// The server's URL, `https` always; nothing if none is given.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }
}

/// A text does not say where an API server is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no address of an API server: {why}; write HOST, HOST:PORT or https://HOST:PORT, IPv6 addresses in brackets"
)]
pub struct ApiServerError {
    text: String,
    why: &'static str,
}

impl FromStr for ApiServer {
    type Err = ApiServerError;

    /// `10.0.0.1:6443`, `https://api.example`, `[fd00::1]:6443`, `fd00::1`; an empty text gives none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |why| ApiServerError { text: text.to_owned(), why };
        let given = text.trim();
        if given.is_empty() {
            return Ok(Self::default());
        }
        if given.starts_with("http://") {
            return Err(refuse("the server is asked by https alone"));
        }
        let authority = given.strip_prefix("https://").unwrap_or(given);
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = split(authority).map_err(refuse)?;
        Ok(Self { url: Some(format!("https://{host}:{port}")) })
    }
}

/// Host, in brackets if it is an IPv6 address, and port.
fn split(authority: &str) -> Result<(String, u16), &'static str> {
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Ok((format!("[{authority}]"), PORT));
    }
    if let Some((address, rest)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        if address.parse::<Ipv6Addr>().is_err() {
            return Err("what is in brackets is no IPv6 address");
        }
        let port = match rest.strip_prefix(':') {
            Some(port) => read_port(port)?,
            None if rest.is_empty() => PORT,
            None => return Err("something follows the bracket that is no port"),
        };
        return Ok((format!("[{address}]"), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, read_port(port)?),
        None => (authority, PORT),
    };
    let is_of_host = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if host.is_empty() || !host.chars().all(is_of_host) {
        return Err("the host is neither a name nor an address");
    }
    Ok((host.to_owned(), port))
}

fn read_port(text: &str) -> Result<u16, &'static str> {
    text.parse().ok().filter(|port| *port != 0).ok_or("the port is no number from 1 to 65535")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        // (text, URL)
        let cases = [
            ("", None),
            ("  ", None),
            ("10.0.0.1", Some("https://10.0.0.1:6443")),
            ("10.0.0.1:443", Some("https://10.0.0.1:443")),
            ("https://api.example", Some("https://api.example:6443")),
            ("https://api.example:8443/", Some("https://api.example:8443")),
            ("fd00::1", Some("https://[fd00::1]:6443")),
            ("[fd00::1]", Some("https://[fd00::1]:6443")),
            ("https://[fd00::1]:443", Some("https://[fd00::1]:443")),
        ];
        for (text, url) in cases {
            assert_eq!(text.parse::<ApiServer>().unwrap().url(), url, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        // (text, part of the reason)
        let cases = [
            ("http://10.0.0.1", "https alone"),
            ("10.0.0.1:", "the port"),
            ("10.0.0.1:0", "the port"),
            ("10.0.0.1:70000", "the port"),
            ("[fd00::1", "the port"),
            ("[10.0.0.1]:6443", "in brackets"),
            ("[fd00::1]x", "follows the bracket"),
            (":6443", "the host"),
            ("api example", "the host"),
            ("https://", "the host"),
            ("api.example/path", "the host"),
        ];
        for (text, reason) in cases {
            let error = text.parse::<ApiServer>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
