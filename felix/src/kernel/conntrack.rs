//! Forgets connections: an address is given to another pod only once no entry from or to it is
//! left, because an established UDP flow would follow the address.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use super::address::{family, octets};
use super::socket::{Protocol, Reply, Request, Socket, SocketError, attribute, attributes};

const HEADER_BYTES: usize = 4;
/// `AF_UNSPEC`: both families.
const UNSPECIFIED: u8 = 0;
const CTNETLINK: u16 = 1 << 8;
const IPCTNL_MSG_CT_NEW: u16 = CTNETLINK;
const IPCTNL_MSG_CT_GET: u16 = CTNETLINK | 1;
const IPCTNL_MSG_CT_DELETE: u16 = CTNETLINK | 2;
const IPCTNL_MSG_CT_GET_STATS: u16 = CTNETLINK | 5;
const CTA_STATS_GLOBAL_ENTRIES: u16 = 1;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;
const CTA_TUPLE_IP: u16 = 1;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
const NLA_F_NESTED: u16 = 1 << 15;

/// How often the table is searched again: traffic may bring an entry back between the search
/// and its deletion.
const ATTEMPTS: usize = 5;

/// Most IPv4 addresses for which the kernel is asked to filter, in four searches each; for more than
/// these one search of the whole table is cheaper.
const FILTERED_MAX: usize = 4;

/// Most entries that are all read at once. A search walks every bucket of a hash table that all namespaces share, which
/// takes 11 ms for 262,144 of them; to read an entry as well takes about a microsecond.
const WHOLE_MAX: u32 = 20_000;

/// Why entries may be left.
#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    /// Traffic keeps bringing entries back: cut it off first.
    #[error("{0} connections were there again after each of {ATTEMPTS} attempts to forget them")]
    ComeBack(usize),
    /// The kernel refused.
    #[error("conntrack: {0}")]
    Netlink(#[from] SocketError),
}

/// Which tuple, and which end of it.
#[derive(Clone, Copy, Debug)]
struct Place {
    tuple: u16,
    flags: u16,
    /// `CTA_FILTER_F_CTA_IP_SRC` or `_DST`.
    bit: u32,
    /// Of source before destination: 0 or 1.
    end: u16,
}

const PLACES: [Place; 4] = [
    Place { tuple: CTA_TUPLE_ORIG, flags: CTA_FILTER_ORIG_FLAGS, bit: 1, end: 0 },
    Place { tuple: CTA_TUPLE_ORIG, flags: CTA_FILTER_ORIG_FLAGS, bit: 2, end: 1 },
    Place { tuple: CTA_TUPLE_REPLY, flags: CTA_FILTER_REPLY_FLAGS, bit: 1, end: 0 },
    Place { tuple: CTA_TUPLE_REPLY, flags: CTA_FILTER_REPLY_FLAGS, bit: 2, end: 1 },
];

/// The connection tracking table of one network namespace.
#[derive(Debug)]
pub struct Conntrack {
    socket: Socket,
    whole_max: u32,
}

impl Conntrack {
    /// Of the calling thread's namespace.
    ///
    /// # Errors
    /// What [`Socket::open`] says.
    pub fn open() -> io::Result<Self> {
        Ok(Self { socket: Socket::open(Protocol::Netfilter)?, whole_max: WHOLE_MAX })
    }

    /// The same, which has the kernel filter as soon as there are more entries than these.
    #[must_use]
    pub fn filtering_above(self, entries: u32) -> Self {
        Self { whole_max: entries, ..self }
    }

    /// Forgets every connection from or to these addresses, before or after translation, of all
    /// zones; how many there were. On success none is left.
    ///
    /// # Errors
    /// `ComeBack` if traffic revives them; `Netlink`, with what is left unknown.
    pub fn forget(&mut self, addresses: &BTreeSet<IpAddr>) -> Result<usize, ConntrackError> {
        let mut forgotten = 0;
        let mut left = 0;
        for _ in 0..ATTEMPTS {
            let found = self.find(addresses)?;
            if found.is_empty() {
                return Ok(forgotten);
            }
            left = found.len();
            for outcome in self.socket.batch(&found)? {
                match outcome {
                    Ok(()) => forgotten += 1,
                    // It ended by itself.
                    Err(refusal) if refusal.errno == libc::ENOENT => {}
                    Err(refusal) => return Err(SocketError::Refused(refusal).into()),
                }
            }
        }
        if self.find(addresses)?.is_empty() { Ok(forgotten) } else { Err(ConntrackError::ComeBack(left)) }
    }

    /// The deletions of all entries that concern these addresses.
    fn find(&mut self, addresses: &BTreeSet<IpAddr>) -> Result<Vec<Request>, SocketError> {
        let mut deletions = Vec::new();
        let searches = match self.entries() {
            Some(0) => Vec::new(),
            Some(entries) if entries <= self.whole_max => vec![Search::of_family(UNSPECIFIED)],
            _ => searches(addresses),
        };
        for search in searches {
            let replies = match self.socket.dump(&search.filtered) {
                // A kernel that knows no such filter is asked for everything.
                Err(error) if is_filter_unknown(&error) => self.socket.dump(&search.whole)?,
                other => other?,
            };
            deletions.extend(replies.iter().filter_map(|reply| deletion(reply, addresses)));
        }
        // An entry may be found in several places.
        deletions.sort_by(|one, other| one.payload.cmp(&other.payload));
        deletions.dedup();
        Ok(deletions)
    }

    /// How many entries this namespace has; `None` if the kernel does not tell (before 5.9).
    fn entries(&mut self) -> Option<u32> {
        let request =
            Request { message_type: IPCTNL_MSG_CT_GET_STATS, flags: 0, payload: vec![UNSPECIFIED, 0, 0, 0] };
        let replies = self.socket.get(&request).ok()?;
        let payload = replies.first()?.payload.get(HEADER_BYTES..)?;
        let (_, value) = attributes(payload).find(|(kind, _)| *kind == CTA_STATS_GLOBAL_ENTRIES)?;
        Some(u32::from_be_bytes(value.try_into().ok()?))
    }
}

fn is_filter_unknown(error: &SocketError) -> bool {
    matches!(error.errno(), Some(libc::EOPNOTSUPP | libc::EINVAL))
}

struct Search {
    filtered: Request,
    whole: Request,
}

impl Search {
    /// All entries of a family.
    fn of_family(family: u8) -> Self {
        let whole = Request { message_type: IPCTNL_MSG_CT_GET, flags: 0, payload: vec![family, 0, 0, 0] };
        Self { filtered: whole.clone(), whole }
    }
}

fn searches(addresses: &BTreeSet<IpAddr>) -> Vec<Search> {
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = addresses.iter().partition(|address| address.is_ipv4());
    let mut searches = Vec::new();
    if v4.len() > FILTERED_MAX {
        searches.push(Search::of_family(family(v4[0])));
    } else {
        for address in v4 {
            searches.extend(PLACES.map(|place| filtered_search(address, place)));
        }
    }
    // Never filtered: the kernel's comparison of IPv6 addresses is inverted (seen in 6.18), so
    // that a filter would leave out just what was asked for.
    searches.extend(v6.first().map(|address| Search::of_family(family(*address))));
    searches
}

/// Kernels before 5.8 ignore the filter and answer with everything, which is right as well.
fn filtered_search(address: IpAddr, place: Place) -> Search {
    let Search { filtered: mut search, whole } = Search::of_family(family(address));
    let mut ends = Vec::new();
    attribute(&mut ends, ip_attribute(address, place.end), &octets(address));
    let mut tuple = Vec::new();
    attribute(&mut tuple, CTA_TUPLE_IP | NLA_F_NESTED, &ends);
    attribute(&mut search.payload, place.tuple | NLA_F_NESTED, &tuple);
    let mut filter = Vec::new();
    attribute(&mut filter, place.flags, &place.bit.to_ne_bytes());
    attribute(&mut search.payload, CTA_FILTER | NLA_F_NESTED, &filter);
    Search { filtered: search, whole }
}

/// `CTA_IP_V4_SRC` .. `CTA_IP_V6_DST`.
fn ip_attribute(address: IpAddr, end: u16) -> u16 {
    if address.is_ipv4() { 1 + end } else { 3 + end }
}

/// The message that deletes this entry, and no later one of the same tuple, if it concerns one
/// of the addresses. Never one without a tuple: that would delete the whole table.
fn deletion(reply: &Reply, addresses: &BTreeSet<IpAddr>) -> Option<Request> {
    let header = reply.payload.get(..HEADER_BYTES)?;
    if reply.message_type != IPCTNL_MSG_CT_NEW {
        return None;
    }
    let mut payload = vec![header[0], 0, 0, 0];
    let mut has_tuple = false;
    let mut is_concerned = false;
    for (kind, value) in attributes(&reply.payload[HEADER_BYTES..]) {
        match kind {
            CTA_TUPLE_ORIG => {
                has_tuple = true;
                is_concerned |= concerns(value, addresses);
                attribute(&mut payload, kind | NLA_F_NESTED, value);
            }
            CTA_TUPLE_REPLY => is_concerned |= concerns(value, addresses),
            CTA_ID | CTA_ZONE => attribute(&mut payload, kind, value),
            _ => {}
        }
    }
    (has_tuple && is_concerned).then_some(Request { message_type: IPCTNL_MSG_CT_DELETE, flags: 0, payload })
}

fn concerns(tuple: &[u8], addresses: &BTreeSet<IpAddr>) -> bool {
    let ends = attributes(tuple).filter(|(kind, _)| *kind == CTA_TUPLE_IP);
    ends.flat_map(|(_, ends)| attributes(ends)).any(|(_, value)| {
        let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
        let address = v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from));
        address.is_ok_and(|address| addresses.contains(&address))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn bytes_from_the_kernel_never_panic(payload in proptest::collection::vec(0_u8.., 0..160)) {
            let addresses = BTreeSet::from([IpAddr::from([10, 0, 0, 1])]);
            let _ = deletion(&Reply { message_type: IPCTNL_MSG_CT_NEW, flags: 0, payload }, &addresses);
        }
    }

    #[test]
    fn an_entry_is_deleted_by_its_tuple_and_number() {
        let pod = IpAddr::from([10, 0, 0, 1]);
        let other = IpAddr::from([10, 0, 0, 2]);
        let pods = BTreeSet::from([pod, "fd00::1".parse().expect("an address")]);
        let tuple = |payload: &mut Vec<u8>, address: IpAddr, place: Place| {
            let search = filtered_search(address, place).filtered.payload;
            let (_, value) = attributes(&search[HEADER_BYTES..]).next().expect("the tuple");
            attribute(payload, place.tuple | NLA_F_NESTED, value);
        };
        let [orig_source, orig_destination, reply_source, reply_destination] = PLACES;
        // (why, tuples, deleted)
        let cases = [
            ("from the pod", vec![(pod, orig_source), (other, reply_source)], true),
            ("to the pod", vec![(pod, orig_destination), (other, reply_source)], true),
            ("translated to the pod", vec![(other, orig_source), (pod, reply_source)], true),
            ("translated from the pod", vec![(other, orig_source), (pod, reply_destination)], true),
            ("another's", vec![(other, orig_source), (other, reply_source)], false),
            ("without a tuple it would delete everything", vec![(pod, reply_source)], false),
        ];
        for (why, tuples, is_deleted) in cases {
            let mut payload = vec![2, 0, 0, 0];
            for (address, place) in tuples {
                tuple(&mut payload, address, place);
            }
            attribute(&mut payload, CTA_ID, &[1, 2, 3, 4]);
            attribute(&mut payload, 20, &[9]);
            let reply = Reply { message_type: IPCTNL_MSG_CT_NEW, flags: 0, payload };
            let deletion = deletion(&reply, &pods);
            assert_eq!(deletion.is_some(), is_deleted, "{why}");
            if let Some(deletion) = deletion {
                let kinds: Vec<u16> =
                    attributes(&deletion.payload[HEADER_BYTES..]).map(|(kind, _)| kind).collect();
                assert_eq!(kinds, [CTA_TUPLE_ORIG, CTA_ID], "{why}");
            }
        }
    }
}
