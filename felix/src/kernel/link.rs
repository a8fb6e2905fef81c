//! Network interfaces: list, look up, and change what the host's end of a pod needs changed.
//!
//! Links are read attribute by attribute and not by a complete model of them: kinds and
//! attributes that we do not know must not make a whole dump unreadable.

use std::collections::BTreeMap;

use super::socket::{Reply, Request, Socket, SocketError, attribute, attributes};

const HEADER_BYTES: usize = 16;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_IFALIAS: u16 = 20;
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;

/// Longest alias that the kernel takes, in bytes (`IFALIASZ` less its final zero).
pub const ALIAS_BYTES_MAX: usize = 255;

/// Longest interface name, in bytes (`IFNAMSIZ` less its final zero).
pub const NAME_BYTES_MAX: usize = 15;

/// One interface as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number; never used twice while the namespace lives.
    pub index: u32,
    /// Its name at this moment.
    pub name: String,
    /// Its alias, empty if it has none.
    pub alias: String,
    /// Its hardware address if it has one of Ethernet's length.
    pub mac: Option<[u8; 6]>,
    /// Largest packet it carries, in bytes.
    pub mtu: u32,
    /// Whether it is administratively up.
    pub is_up: bool,
    /// Whether it has a carrier (`IFF_LOWER_UP`).
    pub has_carrier: bool,
    /// Whether it is a loopback interface.
    pub is_loopback: bool,
}

/// Reads an `RTM_NEWLINK` or `RTM_DELLINK` payload; `None` if it is cut or nameless.
pub(crate) fn parse(payload: &[u8]) -> Option<Link> {
    let header = payload.get(..HEADER_BYTES)?;
    let index = u32::from_ne_bytes(header[4..8].try_into().ok()?);
    let flags = i32::from_ne_bytes(header[8..12].try_into().ok()?);
    let mut link = Link {
        index,
        name: String::new(),
        alias: String::new(),
        mac: None,
        mtu: 0,
        is_up: flags & libc::IFF_UP != 0,
        has_carrier: flags & libc::IFF_LOWER_UP != 0,
        is_loopback: flags & libc::IFF_LOOPBACK != 0,
    };
    for (kind, value) in attributes(&payload[HEADER_BYTES..]) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_IFALIAS => link.alias = text(value),
            IFLA_ADDRESS => link.mac = value.try_into().ok(),
            IFLA_MTU => link.mtu = value.try_into().map(u32::from_ne_bytes).unwrap_or_default(),
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// A change of one interface, each its own message: an alias beside other attributes is
/// ignored by the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// Administratively up or down.
    Up(bool),
    /// The alias, at most [`ALIAS_BYTES_MAX`] bytes.
    Alias(String),
    /// The hardware address.
    Mac([u8; 6]),
    /// The MTU in bytes.
    Mtu(u32),
}

/// The message that makes this change to the interface of this number.
pub(crate) fn change_request(index: u32, change: &LinkChange) -> Request {
    let up = i32::from(matches!(change, LinkChange::Up(true))) * libc::IFF_UP;
    let mask = i32::from(matches!(change, LinkChange::Up(_))) * libc::IFF_UP;
    let mut payload = header(index, up, mask);
    match change {
        LinkChange::Up(_) => {}
        LinkChange::Alias(alias) => attribute(&mut payload, IFLA_IFALIAS, alias.as_bytes()),
        LinkChange::Mac(mac) => attribute(&mut payload, IFLA_ADDRESS, mac),
        LinkChange::Mtu(mtu) => attribute(&mut payload, IFLA_MTU, &mtu.to_ne_bytes()),
    }
    // SETLINK, because NEWLINK ignores an alias on kernels that we support.
    Request { message_type: libc::RTM_SETLINK, flags: 0, payload }
}

/// Makes these changes to one interface, in order, in one send.
///
/// # Errors
/// The first refusal; changes after it may still have been made.
pub fn change(socket: &mut Socket, index: u32, changes: &[LinkChange]) -> Result<(), SocketError> {
    let requests: Vec<Request> = changes.iter().map(|change| change_request(index, change)).collect();
    for outcome in socket.batch(&requests)? {
        outcome?;
    }
    Ok(())
}

/// All interfaces of the namespace, by number.
///
/// # Errors
/// What [`Socket::dump`] says.
pub fn list(socket: &mut Socket) -> Result<BTreeMap<u32, Link>, SocketError> {
    let mut payload = header(0, 0, 0);
    attribute(&mut payload, IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    let request = Request { message_type: libc::RTM_GETLINK, flags: 0, payload };
    let replies = socket.dump(&request)?;
    Ok(replies.iter().filter_map(from_reply).map(|link| (link.index, link)).collect())
}

/// The interface of this name, or `None`.
///
/// # Errors
/// What [`Socket::get`] says, except that there is none.
pub fn by_name(socket: &mut Socket, name: &str) -> Result<Option<Link>, SocketError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Ok(None);
    }
    let mut payload = header(0, 0, 0);
    let mut terminated = name.as_bytes().to_vec();
    terminated.push(0);
    attribute(&mut payload, IFLA_IFNAME, &terminated);
    attribute(&mut payload, IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    let request = Request { message_type: libc::RTM_GETLINK, flags: 0, payload };
    match socket.get(&request) {
        Ok(replies) => Ok(replies.iter().find_map(from_reply)),
        Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the interface of this number; one that is gone already is success.
///
/// # Errors
/// What [`Socket::request`] says.
pub fn delete(socket: &mut Socket, index: u32) -> Result<(), SocketError> {
    let payload = header(index, 0, 0);
    let request = Request { message_type: libc::RTM_DELLINK, flags: 0, payload };
    match socket.request(&request) {
        Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
        other => other,
    }
}

/// True for a name that the kernel could give to an interface, and that is safe as a file name.
pub fn is_valid_name(name: &str) -> bool {
    let is_plain = |byte: u8| !byte.is_ascii_whitespace() && byte != b'/' && byte != b':' && byte != 0;
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name != "."
        && name != ".."
        && name.bytes().all(is_plain)
}

fn from_reply(reply: &Reply) -> Option<Link> {
    (reply.message_type == libc::RTM_NEWLINK).then(|| parse(&reply.payload)).flatten()
}

/// `struct ifinfomsg`.
fn header(index: u32, flags: i32, mask: i32) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&mask.to_ne_bytes());
    bytes
}

/// What a new description of an interface means for routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkNews {
    /// Nothing that routes depend on: an alias, an MTU, a hardware address.
    Nothing,
    /// Routes that were impossible may be possible: it is new, up, or has a carrier now.
    Gain,
    /// Routes may be gone: it went down, lost its carrier or its name.
    Loss,
}

fn news(old: Option<&Link>, new: &Link) -> LinkNews {
    let Some(old) = old else { return LinkNews::Gain };
    let is_lost = (old.is_up && !new.is_up) || (old.has_carrier && !new.has_carrier);
    let is_gained = (!old.is_up && new.is_up) || (!old.has_carrier && new.has_carrier);
    match (is_lost || old.name != new.name, is_gained) {
        (true, _) => LinkNews::Loss,
        (false, true) => LinkNews::Gain,
        (false, false) => LinkNews::Nothing,
    }
}

/// Names and numbers of the interfaces, kept up by events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    by_index: BTreeMap<u32, Link>,
    by_name: BTreeMap<String, u32>,
}

impl Links {
    /// Reads them all.
    ///
    /// # Errors
    /// What [`list`] says.
    pub fn read(socket: &mut Socket) -> Result<Self, SocketError> {
        let mut links = Self::default();
        for link in list(socket)?.into_values() {
            links.insert(link);
        }
        Ok(links)
    }

    /// Takes the newest description of an interface; what that means for routes by it.
    pub fn insert(&mut self, link: Link) -> LinkNews {
        let old = self.remove(link.index);
        let news = news(old.as_ref(), &link);
        self.by_name.insert(link.name.clone(), link.index);
        self.by_index.insert(link.index, link);
        news
    }

    /// Forgets an interface that is gone.
    pub fn remove(&mut self, index: u32) -> Option<Link> {
        let link = self.by_index.remove(&index)?;
        if self.by_name.get(&link.name) == Some(&index) {
            self.by_name.remove(&link.name);
        }
        Some(link)
    }

    /// The number of the interface of this name.
    pub fn index(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The name of the interface of this number, `if7` for one that is not known.
    pub fn name(&self, index: u32) -> String {
        self.by_index.get(&index).map_or_else(|| format!("if{index}"), |link| link.name.clone())
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.by_index.values()
    }
}

#[cfg(test)]
mod tests;
