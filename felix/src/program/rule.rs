//! Chains, rules and what they match.

use super::{Name, Value};

/// A chain: called by others, or a base chain that the kernel calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Where the kernel calls it; `None` for a chain that only rules and maps call.
    pub base: Option<Base>,
    /// Its rules in order.
    pub rules: Vec<Rule>,
}

/// Where the kernel calls a base chain. The policy of all ours is accept: what drops is a rule,
/// so that nothing but our own interfaces can ever be cut off by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// The chain's type.
    pub kind: HookKind,
    /// The hook.
    pub hook: Hook,
    /// The priority; lower is earlier.
    pub priority: i32,
}

/// Type of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookKind {
    /// `type filter`
    Filter,
    /// `type nat`: sees the first packet of each flow alone.
    Nat,
}

/// Netfilter hook of the `inet` family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// All that arrives, before routing.
    Prerouting,
    /// To this node itself.
    Input,
    /// Through this node.
    Forward,
    /// From this node itself.
    Output,
    /// All that leaves, after routing.
    Postrouting,
}

/// One rule: if all matches hold, count and act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All must hold.
    pub matches: Vec<Match>,
    /// Whether packets and bytes are counted (an inline counter before the action; its
    /// figures are no part of the rule's identity).
    pub counter: bool,
    /// What then happens.
    pub action: Action,
    /// What the rule stands for, stable over restarts; at most 128 bytes of printable ASCII without `"`;
    /// empty for none.
    pub comment: String,
}

/// A condition of a rule.
///
/// A field implies its protocol (`Field::V4Source` that the packet is IPv4, `Field::IcmpType` that it is
/// ICMP): the encoder adds that test where the table's family needs it, the text form leaves it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// The interface name of this field starts with the text (`iifname "tort*"`).
    NameStartsWith {
        /// `InInterface` or `OutInterface`.
        field: Field,
        /// The beginning, at most 14 bytes.
        prefix: &'static str,
        /// Holds where the name does not start so.
        negated: bool,
    },
    /// The field equals the value.
    Equals(Field, Value),
    /// The field lies between the two, both included.
    Between(Field, Value, Value),
    /// The first `bits` bits of an IPv6 address field equal those of the value.
    Prefix(Field, Value, u8),
    /// The state of the packet's connection is one of these.
    Conntrack(ConntrackStates),
    /// The concatenation of the fields is in the set.
    InSet {
        /// Fields in the order of the set's key; one for a plain set.
        fields: Vec<Field>,
        /// The set's name.
        set: Name,
        /// Holds where it is not in the set.
        negated: bool,
    },
}

/// A property of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `iifname`
    InInterface,
    /// `oifname`
    OutInterface,
    /// `meta l4proto`, 1 byte: the transport protocol after IPv6 extension headers.
    Protocol,
    /// `ip saddr`
    V4Source,
    /// `ip daddr`
    V4Destination,
    /// `ip6 saddr`
    V6Source,
    /// `ip6 daddr`
    V6Destination,
    /// `th dport`: bytes 2 and 3 of the transport header; rules test `Protocol` beside it.
    DestinationPort,
    /// `icmp type`
    IcmpType,
    /// `icmp code`
    IcmpCode,
    /// `icmpv6 type`
    Icmpv6Type,
}

/// Connection tracking states; a packet has exactly one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConntrackStates {
    /// Of a flow seen in both directions.
    pub established: bool,
    /// Begins a flow, or an error, that belongs to a known one.
    pub related: bool,
    /// Belongs to nothing that tracking understands.
    pub invalid: bool,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// This verdict.
    Verdict(Verdict),
    /// The verdict that the map has for the interface name in this field; none: the next rule (`iifname vmap @map`).
    Dispatch(Field, Name),
    /// Source becomes the address of the interface that the packet leaves by; in a nat chain alone.
    Masquerade,
}

/// A verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ends this base chain; a later base chain of the same hook may still drop.
    Accept,
    /// Ends the packet.
    Drop,
    /// Back to the caller.
    Return,
    /// Into the chain, then on with the next rule.
    Jump(Name),
    /// Into the chain, then back to this chain's caller.
    Goto(Name),
}

impl Rule {
    /// A rule without counter and comment.
    pub fn new(matches: Vec<Match>, action: Action) -> Self {
        Self { matches, counter: false, action, comment: String::new() }
    }

    /// The same rule, counted under `comment`.
    #[must_use]
    pub fn counted(mut self, comment: &str) -> Self {
        self.counter = true;
        self.comment = super::text::comment(comment);
        self
    }
}

impl Verdict {
    /// The chain that the verdict leads into.
    pub fn chain(&self) -> Option<&Name> {
        match self {
            Self::Jump(name) | Self::Goto(name) => Some(name),
            Self::Accept | Self::Drop | Self::Return => None,
        }
    }
}
