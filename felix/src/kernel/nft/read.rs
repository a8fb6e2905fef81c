//! Reads our table back, as far as possible as a program.
//!
//! Sets and verdicts are decoded. Rules are not: those of a chain are what was written if the kernel
//! shows every attribute that we would write, and unknown rules otherwise.

use std::collections::BTreeMap;

use crate::kernel::socket::{Reply, attributes};
use crate::program::{Base, Chain, Hook, HookKind, Name, Program, Set, SetKey, Verdict, VerdictMap};
use crate::reconcile::ruleset::{Observed, unknown_base, unknown_rule, unknown_set};

use super::NftError;
use super::message::{self, message, named, read_number, read_text};
use super::set::{self, RawElement};
use super::transaction::Transactions;
use super::{encode, uapi};

/// What the table holds; rules are recognised by comparing them with those of `desired`. What this
/// program never writes is no error but an unknown set, base or rule.
///
/// # Errors
/// What the socket says.
pub(super) fn read(transactions: &mut Transactions, desired: &Program) -> Result<Observed, NftError> {
    let Some(flags) = table_flags(transactions)? else { return Ok(Observed::Absent) };
    let program = read_program(transactions, desired)?;
    Ok(match program {
        Some(program) => Observed::Table { persists: flags & uapi::TABLE_F_PERSIST != 0, program },
        None => Observed::Other { persists: flags & uapi::TABLE_F_PERSIST != 0 },
    })
}

fn table_flags(transactions: &mut Transactions) -> Result<Option<u32>, NftError> {
    let mut bytes = Vec::new();
    message::table(&mut bytes);
    match transactions.socket.get(&message(uapi::GET_TABLE, 0, &bytes)) {
        Ok(replies) => Ok(replies.first().map(|reply| find_number(reply, uapi::TABLE_FLAGS).unwrap_or(0))),
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(NftError::of(error, "the table")),
    }
}

fn read_program(transactions: &mut Transactions, desired: &Program) -> Result<Option<Program>, NftError> {
    let mut program = Program::default();
    for reply in dump(transactions, uapi::GET_SET)? {
        let Some(name) = find(&reply, uapi::SET_NAME).and_then(read_text).filter(|name| fits(name)) else {
            return Ok(None);
        };
        let name = Name::new(name);
        let elements = read_elements(transactions, &name)?;
        if let Some(map) = elements.as_ref().and_then(|elements| read_map(&reply, elements)) {
            program.maps.insert(name, map);
        } else {
            let set = elements.and_then(|elements| read_set(&reply, elements));
            program.sets.insert(name, set.unwrap_or_else(unknown_set));
        }
    }
    for reply in dump(transactions, uapi::GET_CHAIN)? {
        let Some((name, base)) = read_chain(&reply) else { return Ok(None) };
        program.chains.insert(name, Chain { base, rules: Vec::new() });
    }
    let rules = read_rules(transactions)?;
    for (name, chain) in &mut program.chains {
        let found = rules.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        chain.rules = match desired.chains.get(name) {
            Some(desired) if are_equal(&desired.rules, found) => desired.rules.clone(),
            _ => found.iter().map(|_| unknown_rule()).collect(),
        };
    }
    Ok(Some(program))
}

fn fits(name: &str) -> bool {
    (1..=Name::MAX).contains(&name.len())
}

/// All objects of one kind in our table. Kernels of old do not filter by table, so that we do.
fn dump(transactions: &mut Transactions, kind: u16) -> Result<Vec<Reply>, NftError> {
    let mut bytes = Vec::new();
    message::table(&mut bytes);
    let request = message(kind, 0, &bytes);
    let mut replies = transactions.socket.dump(&request).map_err(|error| NftError::of(error, "the table"))?;
    replies.retain(is_ours);
    Ok(replies)
}

fn is_ours(reply: &Reply) -> bool {
    is_of_our_table(&reply.payload)
}

/// Whether a message of the nftables subsystem is about our table.
pub(super) fn is_of_our_table(payload: &[u8]) -> bool {
    let family = payload.first().copied();
    let table = attributes(payload.get(4..).unwrap_or_default()).find(|(kind, _)| *kind == uapi::ANY_TABLE);
    family == Some(uapi::NFPROTO_INET)
        && table.and_then(|(_, name)| read_text(name)) == Some(crate::program::TABLE)
}

fn find(reply: &Reply, kind: u16) -> Option<&[u8]> {
    attributes(reply.payload.get(4..)?).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

fn find_number(reply: &Reply, kind: u16) -> Option<u32> {
    find(reply, kind).and_then(read_number)
}

fn read_elements(transactions: &mut Transactions, name: &Name) -> Result<Option<Vec<RawElement>>, NftError> {
    let request = message(uapi::GET_ELEMENT, 0, &named(uapi::ELEMENTS_SET, name));
    let replies = transactions
        .socket
        .dump(&request)
        .map_err(|error| NftError::of(error, &format!("elements of set {name}")))?;
    let lists = replies.iter().filter_map(|reply| find(reply, uapi::ELEMENTS_LIST));
    Ok(lists.flat_map(attributes).map(|(_, element)| RawElement::read(element)).collect())
}

/// The verdict map, if it is one that this program could have written.
fn read_map(reply: &Reply, elements: &[RawElement]) -> Option<VerdictMap> {
    let mut definition = Vec::new();
    set::map_definition(&mut definition);
    if !shows(reply.payload.get(4..)?, &definition) {
        return None;
    }
    let verdicts =
        elements.iter().map(|raw| Some((set::read_interface(&raw.key)?, read_verdict(&raw.data)?)));
    Some(VerdictMap { elements: verdicts.collect::<Option<_>>()? })
}

/// The set, if it is one that this program could have written.
fn read_set(reply: &Reply, elements: Vec<RawElement>) -> Option<Set> {
    let set = read_definition(reply)?;
    let elements = set::read_elements(set.key, set.interval, elements)?;
    Some(Set { elements: elements.into_iter().collect(), ..set })
}

/// The one kind of set whose definition is what the kernel shows.
fn read_definition(reply: &Reply) -> Option<Set> {
    const KEYS: [SetKey; 8] = [
        SetKey::V4,
        SetKey::V6,
        SetKey::Ports,
        SetKey::V4Ports,
        SetKey::V6Ports,
        SetKey::InterfaceV4,
        SetKey::InterfaceV6,
        SetKey::Interfaces,
    ];
    let payload = reply.payload.get(4..)?;
    let comment = find(reply, uapi::SET_USERDATA)
        .map_or(Some(""), |data| read_comment(data, uapi::USERDATA_SET_COMMENT))?;
    let found_flags = find_number(reply, uapi::SET_FLAGS).unwrap_or(0);
    let candidates = KEYS.into_iter().flat_map(|key| [Set::hash(key, comment), Set::interval(key, comment)]);
    candidates.into_iter().find(|set| {
        let mut definition = Vec::new();
        set::definition(&mut definition, set);
        found_flags == set::flags(set) && shows(payload, &definition)
    })
}

/// The comment in user data that holds nothing else.
fn read_comment(data: &[u8], kind: u8) -> Option<&str> {
    match data {
        [found, length, value @ ..] if *found == kind && usize::from(*length) == value.len() => {
            read_text(value)
        }
        _ => None,
    }
}

fn read_chain(reply: &Reply) -> Option<(Name, Option<Base>)> {
    let name = find(reply, uapi::CHAIN_NAME).and_then(read_text).filter(|name| fits(name)).map(Name::new)?;
    let base = find(reply, uapi::CHAIN_HOOK).map(|hook| read_base(reply, hook).unwrap_or_else(unknown_base));
    Some((name, base))
}

fn read_base(reply: &Reply, hook: &[u8]) -> Option<Base> {
    let of_hook =
        |kind| attributes(hook).find(|(found, _)| *found == kind).and_then(|(_, value)| read_number(value));
    let number = of_hook(uapi::HOOK_NUMBER)?;
    let kind = find(reply, uapi::CHAIN_TYPE).and_then(read_text)?;
    let hooks = [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];
    let base = Base {
        kind: [HookKind::Filter, HookKind::Nat].into_iter().find(|it| encode::kind_text(*it) == kind)?,
        hook: hooks.into_iter().find(|hook| encode::hook_number(*hook) == number)?,
        priority: of_hook(uapi::HOOK_PRIORITY)?.cast_signed(),
    };
    (find_number(reply, uapi::CHAIN_POLICY) == Some(uapi::POLICY_ACCEPT)).then_some(base)
}

fn read_rules(transactions: &mut Transactions) -> Result<BTreeMap<String, Vec<Reply>>, NftError> {
    let mut rules: BTreeMap<String, Vec<Reply>> = BTreeMap::new();
    for reply in dump(transactions, uapi::GET_RULE)? {
        let chain = find(&reply, uapi::RULE_CHAIN).and_then(read_text).unwrap_or_default().to_owned();
        rules.entry(chain).or_default().push(reply);
    }
    Ok(rules)
}

fn are_equal(desired: &[crate::program::Rule], found: &[Reply]) -> bool {
    desired.len() == found.len()
        && desired.iter().zip(found).all(|(rule, reply)| {
            let mut bytes = Vec::new();
            encode::rule(&mut bytes, rule);
            let has_comment = find(reply, uapi::RULE_USERDATA).is_some();
            has_comment != rule.comment.is_empty()
                && shows(reply.payload.get(4..).unwrap_or_default(), &bytes)
        })
}

fn read_verdict(data: &[u8]) -> Option<Verdict> {
    let (_, verdict) = attributes(data).find(|(kind, _)| *kind == uapi::DATA_VERDICT)?;
    let of = |kind| attributes(verdict).find(|(found, _)| *found == kind).map(|(_, value)| value);
    let code = of(uapi::VERDICT_CODE).and_then(read_number)?.cast_signed();
    let chain = || of(uapi::VERDICT_CHAIN).and_then(read_text).filter(|name| fits(name)).map(Name::new);
    match code {
        uapi::VERDICT_ACCEPT => Some(Verdict::Accept),
        uapi::VERDICT_DROP => Some(Verdict::Drop),
        uapi::VERDICT_RETURN => Some(Verdict::Return),
        uapi::VERDICT_JUMP => chain().map(Verdict::Jump),
        uapi::VERDICT_GOTO => chain().map(Verdict::Goto),
        _ => None,
    }
}

/// Whether the kernel's attributes show all that ours say. It adds some (counters, defaults) and leaves
/// out none; lists have the same length and order.
fn shows(kernel: &[u8], ours: &[u8]) -> bool {
    raw_attributes(ours).all(|(kind, is_nested, wanted)| {
        attributes(kernel).filter(|(found, _)| *found == kind).any(|(_, found)| match is_nested {
            true if is_list(wanted) => shows_list(found, wanted),
            true => shows(found, wanted),
            false => found == wanted,
        })
    })
}

/// Our lists are those whose parts are all nested and of type 1; a lone nested value reads the same both
/// ways.
fn is_list(ours: &[u8]) -> bool {
    !ours.is_empty() && raw_attributes(ours).all(|(kind, nested, _)| kind == uapi::LIST_ELEMENT && nested)
}

fn shows_list(kernel: &[u8], ours: &[u8]) -> bool {
    let (found, wanted) = (attributes(kernel), raw_attributes(ours));
    let (found, wanted): (Vec<_>, Vec<_>) = (found.collect(), wanted.collect());
    found.len() == wanted.len()
        && found.iter().zip(wanted).all(|((_, found), (_, _, wanted))| shows(found, wanted))
}

/// Our own attributes with the flag that says whether they are nested.
fn raw_attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, bool, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let &[l0, l1, k0, k1] = rest.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let kind = u16::from_ne_bytes([k0, k1]);
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & 0x3fff, kind & 0x8000 != 0, value))
    })
}
