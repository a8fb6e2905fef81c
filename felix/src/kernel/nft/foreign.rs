//! Chains of others at the forward hook: our accept is not final, so that a packet which one of them drops is lost.

use super::message::{read_number, read_text};
use super::{NftError, uapi};
use crate::kernel::socket::{Protocol, Reply, Request, Socket, attributes};
use crate::program::TABLE;

/// First letters of a pod's interface, as a rule of others would name it.
const POD_INTERFACES: &[u8] = b"tort";

/// A base chain at the forward hook that is not ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that are independent of each other")]
pub struct ForwardChain {
    /// `ip`, `ip6`, `inet` or the family's number.
    pub family: String,
    /// Name of its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Whether it drops what none of its rules accepts.
    pub drops: bool,
    /// Whether a rule of its table accepts what comes from pods.
    pub accepts_from_pods: bool,
    /// Whether a rule of its table accepts what goes to pods.
    pub accepts_to_pods: bool,
    /// Whether the table has a chain of this name, into which Docker's users put their rules.
    pub has_docker_user: bool,
}

/// All base chains of others at the forward hook, in the calling thread's network namespace.
///
/// # Errors
/// nftables cannot be read.
pub fn forward_chains() -> Result<Vec<ForwardChain>, NftError> {
    let socket = Socket::open(Protocol::Netfilter);
    let mut socket = socket.map_err(|error| NftError::Socket(error.to_string()))?;
    let chains = socket.dump(&everything(uapi::GET_CHAIN))?;
    let mut found: Vec<ForwardChain> = chains.iter().filter_map(forward_chain).collect();
    if found.is_empty() {
        return Ok(found);
    }
    for chain in chains.iter().filter(|chain| text(chain, uapi::CHAIN_NAME) == Some("DOCKER-USER")) {
        for of_table in found.iter_mut().filter(|it| is_of(chain, it)) {
            of_table.has_docker_user = true;
        }
    }
    for rule in &socket.dump(&everything(uapi::GET_RULE))? {
        let Some((from_pods, to_pods)) = accepts(rule) else { continue };
        for of_table in found.iter_mut().filter(|it| is_of(rule, it)) {
            of_table.accepts_from_pods |= from_pods;
            of_table.accepts_to_pods |= to_pods;
        }
    }
    Ok(found)
}

/// All objects of a kind, of every family.
fn everything(kind: u16) -> Request {
    Request { message_type: (uapi::SUBSYSTEM << 8) | kind, flags: 0, payload: vec![0; 4] }
}

fn find(reply: &Reply, kind: u16) -> Option<&[u8]> {
    attributes(reply.payload.get(4..)?).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

fn text(reply: &Reply, kind: u16) -> Option<&str> {
    find(reply, kind).and_then(read_text)
}

fn family(reply: &Reply) -> String {
    match reply.payload.first().copied().unwrap_or_default() {
        uapi::NFPROTO_INET => "inet".to_owned(),
        uapi::NFPROTO_IPV4 => "ip".to_owned(),
        uapi::NFPROTO_IPV6 => "ip6".to_owned(),
        other => other.to_string(),
    }
}

fn is_of(reply: &Reply, chain: &ForwardChain) -> bool {
    text(reply, uapi::ANY_TABLE) == Some(&chain.table) && family(reply) == chain.family
}

fn forward_chain(reply: &Reply) -> Option<ForwardChain> {
    let (family, table) = (family(reply), text(reply, uapi::ANY_TABLE)?.to_owned());
    if !["ip", "ip6", "inet"].contains(&family.as_str()) || (family == "inet" && table == TABLE) {
        return None;
    }
    let hook = find(reply, uapi::CHAIN_HOOK)?;
    let number = attributes(hook).find(|(kind, _)| *kind == uapi::HOOK_NUMBER);
    if number.and_then(|(_, value)| read_number(value)) != Some(uapi::HOOK_FORWARD) {
        return None;
    }
    let policy = find(reply, uapi::CHAIN_POLICY).and_then(read_number);
    Some(ForwardChain {
        family,
        table,
        name: text(reply, uapi::CHAIN_NAME)?.to_owned(),
        drops: policy == Some(uapi::POLICY_DROP),
        ..ForwardChain::default()
    })
}

/// Whether the rule accepts what comes from pods' interfaces, and what goes to them; nothing if it accepts nothing.
fn accepts(rule: &Reply) -> Option<(bool, bool)> {
    let (mut from_pods, mut to_pods, mut is_accept) = (false, false, false);
    let mut key = 0;
    for (_, expression) in attributes(find(rule, uapi::RULE_EXPRESSIONS)?) {
        let of = |bytes, wanted| attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
        let name = of(expression, uapi::EXPRESSION_NAME).and_then(read_text);
        let Some(data) = of(expression, uapi::EXPRESSION_DATA) else { continue };
        match name {
            Some("meta") => key = of(data, uapi::META_KEY).and_then(read_number).unwrap_or(0),
            Some("cmp") => {
                let value = of(data, uapi::COMPARE_DATA).and_then(|data| of(data, uapi::DATA_VALUE));
                let names_pods = value.is_some_and(|value| value.starts_with(POD_INTERFACES));
                from_pods |= names_pods && key == uapi::META_IIFNAME;
                to_pods |= names_pods && key == uapi::META_OIFNAME;
            }
            Some("immediate") => {
                let verdict = of(data, uapi::IMMEDIATE_DATA).and_then(|data| of(data, uapi::DATA_VERDICT));
                let code = verdict.and_then(|verdict| of(verdict, uapi::VERDICT_CODE)).and_then(read_number);
                is_accept |= code.map(u32::cast_signed) == Some(uapi::VERDICT_ACCEPT);
            }
            _ => {}
        }
    }
    is_accept.then_some((from_pods, to_pods))
}
