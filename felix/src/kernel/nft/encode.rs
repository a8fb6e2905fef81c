//! A delta as the messages of one transaction, each with what it is about.

use std::collections::BTreeMap;
use std::fmt;

use crate::kernel::socket::{Request, attribute};
use crate::program::{
    Base, Delta, Element, Hook, HookKind, InterfaceName, Name, Op, Program, Rule, TABLE, Verdict,
};

use super::message::{self, message, named, nested, number, text, userdata};
use super::set::{self, Layout};
use super::{expression, uapi};

/// Most bytes of elements in one message: attribute lengths have 16 bits.
pub(super) const ELEMENTS_BYTES_MAX: usize = 48 << 10;

const CREATE: i32 = libc::NLM_F_CREATE;
const APPEND: i32 = libc::NLM_F_CREATE | libc::NLM_F_APPEND;

/// What a message is about, for errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Table,
    Set(Name),
    Elements(Name),
    Verdict(Name, InterfaceName),
    Chain(Name),
    Rule(Name, usize),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table => write!(f, "table inet {TABLE}"),
            Self::Set(name) => write!(f, "set {name}"),
            Self::Elements(name) => write!(f, "elements of set {name}"),
            Self::Verdict(map, interface) => write!(f, "verdict of {interface} in map {map}"),
            Self::Chain(name) => write!(f, "chain {name}"),
            Self::Rule(chain, at) => write!(f, "rule {at} of chain {chain}"),
        }
    }
}

/// Messages that the kernel carries out all or none.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) messages: Vec<(Request, Subject)>,
    /// Numbers of new sets, which the kernel wants although we refer to sets by name.
    sets: u32,
}

impl Batch {
    /// The messages of this delta. `known` is the program from which it leads: it says of which kind
    /// the sets are that get and lose elements.
    pub(super) fn of(delta: &Delta, known: &Program) -> Self {
        let mut batch = Self::default();
        let mut kinds = Kinds { known, fresh: BTreeMap::new() };
        for op in &delta.ops {
            batch.op(op, &mut kinds);
        }
        batch
    }

    /// Adds the table itself.
    pub(super) fn add_table(&mut self, flags: u32) {
        let mut bytes = Vec::new();
        message::table(&mut bytes);
        number(&mut bytes, uapi::TABLE_FLAGS, flags);
        self.push(message(uapi::NEW_TABLE, CREATE, &bytes), Subject::Table);
    }

    /// Deletes the table with all that is in it.
    pub(super) fn delete_table(&mut self) {
        let mut bytes = Vec::new();
        message::table(&mut bytes);
        self.push(message(uapi::DELETE_TABLE, 0, &bytes), Subject::Table);
    }

    /// These messages, then `later`.
    pub(super) fn append(&mut self, later: Self) {
        self.messages.extend(later.messages);
    }

    fn push(&mut self, request: Request, subject: Subject) {
        self.messages.push((request, subject));
    }

    fn op(&mut self, op: &Op, kinds: &mut Kinds<'_>) {
        match op {
            Op::AddSet(name, set) => {
                kinds.fresh.insert(name.clone(), Layout::of(set.key, set.interval));
                self.add_set(name, |bytes| set::definition(bytes, set));
            }
            Op::AddMap(name) => self.add_set(name, set::map_definition),
            Op::AddElements(name, elements) => {
                self.elements(uapi::NEW_ELEMENT, CREATE, name, kinds.of(name), elements);
            }
            Op::DeleteElements(name, elements) => {
                self.elements(uapi::DELETE_ELEMENT, 0, name, kinds.of(name), elements);
            }
            Op::AddChain(name, base) => self.add_chain(name, base.as_ref()),
            Op::SetRules(name, rules) => self.set_rules(name, rules),
            Op::SetVerdict { map, interface, old, new } => {
                if let Some(old) = old {
                    self.verdict(uapi::DELETE_ELEMENT, 0, map, *interface, old);
                }
                if let Some(new) = new {
                    self.verdict(uapi::NEW_ELEMENT, CREATE, map, *interface, new);
                }
            }
            Op::DeleteChain(name) => {
                let bytes = named(uapi::CHAIN_NAME, name);
                self.push(message(uapi::DELETE_CHAIN, 0, &bytes), Subject::Chain(name.clone()));
            }
            Op::DeleteMap(name) | Op::DeleteSet(name) => {
                let bytes = named(uapi::SET_NAME, name);
                self.push(message(uapi::DELETE_SET, 0, &bytes), Subject::Set(name.clone()));
            }
        }
    }

    fn add_set(&mut self, name: &Name, definition: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = named(uapi::SET_NAME, name);
        self.sets += 1;
        number(&mut bytes, uapi::SET_ID, self.sets);
        definition(&mut bytes);
        self.push(message(uapi::NEW_SET, CREATE, &bytes), Subject::Set(name.clone()));
    }

    /// As many messages as the elements need; the two ends of an interval stay together.
    fn elements(&mut self, kind: u16, flags: i32, name: &Name, layout: Layout, elements: &[Element]) {
        // In order, as the tree wants to see the end of an interval before the start of the next.
        let mut elements: Vec<&Element> = elements.iter().collect();
        elements.sort();
        let mut list = Vec::new();
        for element in elements {
            set::element(&mut list, layout, element);
            if list.len() > ELEMENTS_BYTES_MAX {
                self.element_list(kind, flags, name, &std::mem::take(&mut list));
            }
        }
        if !list.is_empty() {
            self.element_list(kind, flags, name, &list);
        }
    }

    fn element_list(&mut self, kind: u16, flags: i32, name: &Name, list: &[u8]) {
        let mut bytes = named(uapi::ELEMENTS_SET, name);
        nested(&mut bytes, uapi::ELEMENTS_LIST, |inner| inner.extend_from_slice(list));
        self.push(message(kind, flags, &bytes), Subject::Elements(name.clone()));
    }

    fn verdict(&mut self, kind: u16, flags: i32, map: &Name, interface: InterfaceName, verdict: &Verdict) {
        let mut bytes = named(uapi::ELEMENTS_SET, map);
        nested(&mut bytes, uapi::ELEMENTS_LIST, |list| {
            nested(list, uapi::LIST_ELEMENT, |element| {
                set::key(element, uapi::ELEMENT_KEY, &interface.bytes());
                nested(element, uapi::ELEMENT_DATA, |data| expression::verdict(data, verdict));
            });
        });
        self.push(message(kind, flags, &bytes), Subject::Verdict(map.clone(), interface));
    }

    fn add_chain(&mut self, name: &Name, base: Option<&Base>) {
        let mut bytes = named(uapi::CHAIN_NAME, name);
        if let Some(base) = base {
            self::base(&mut bytes, *base);
        }
        self.push(message(uapi::NEW_CHAIN, CREATE, &bytes), Subject::Chain(name.clone()));
    }

    fn set_rules(&mut self, name: &Name, rules: &[Rule]) {
        let chain = named(uapi::RULE_CHAIN, name);
        self.push(message(uapi::DELETE_RULE, 0, &chain), Subject::Chain(name.clone()));
        for (at, rule) in rules.iter().enumerate() {
            let mut bytes = chain.clone();
            self::rule(&mut bytes, rule);
            self.push(message(uapi::NEW_RULE, APPEND, &bytes), Subject::Rule(name.clone(), at));
        }
    }
}

/// Appends what a rule consists of; also what is compared when it is read back.
pub(super) fn rule(bytes: &mut Vec<u8>, rule: &Rule) {
    nested(bytes, uapi::RULE_EXPRESSIONS, |inner| inner.extend(expression::expressions(rule)));
    if !rule.comment.is_empty() {
        let mut data = Vec::new();
        userdata(&mut data, uapi::USERDATA_RULE_COMMENT, &message::comment(&rule.comment));
        attribute(bytes, uapi::RULE_USERDATA, &data);
    }
}

/// Appends where the kernel calls a base chain.
fn base(bytes: &mut Vec<u8>, base: Base) {
    nested(bytes, uapi::CHAIN_HOOK, |hook| {
        number(hook, uapi::HOOK_NUMBER, hook_number(base.hook));
        attribute(hook, uapi::HOOK_PRIORITY, &base.priority.to_be_bytes());
    });
    number(bytes, uapi::CHAIN_POLICY, uapi::POLICY_ACCEPT);
    text(bytes, uapi::CHAIN_TYPE, kind_text(base.kind));
}

/// The kernel's number of a hook.
pub(super) fn hook_number(hook: Hook) -> u32 {
    match hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    }
}

/// The kernel's word for a type of base chain.
pub(super) fn kind_text(kind: HookKind) -> &'static str {
    match kind {
        HookKind::Filter => "filter",
        HookKind::Nat => "nat",
    }
}

/// Of which kind sets are, also those that the delta itself adds.
struct Kinds<'a> {
    known: &'a Program,
    fresh: BTreeMap<Name, Layout>,
}

impl Kinds<'_> {
    /// The layout of the set; of one that does not exist any, as the kernel refuses its elements anyway.
    fn of(&self, name: &Name) -> Layout {
        let known = || self.known.sets.get(name).map(|set| Layout::of(set.key, set.interval));
        self.fresh.get(name).copied().or_else(known).unwrap_or(Layout::Hash)
    }
}
