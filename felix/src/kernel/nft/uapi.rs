//! Numbers of `linux/netfilter/nf_tables.h`, `nfnetlink.h` and of nft's user data.

pub(super) const SUBSYSTEM: u16 = 10;
pub(super) const BATCH_BEGIN: u16 = 0x10;
pub(super) const BATCH_END: u16 = 0x11;
pub(super) const BATCH_GENERATION: u16 = 1;
/// Multicast group of ruleset changes.
pub(super) const GROUP: u32 = 7;

pub(super) const NFPROTO_INET: u8 = 1;
pub(super) const NFPROTO_IPV4: u8 = 2;
pub(super) const NFPROTO_IPV6: u8 = 10;

pub(super) const NEW_TABLE: u16 = 0;
pub(super) const GET_TABLE: u16 = 1;
pub(super) const DELETE_TABLE: u16 = 2;
pub(super) const NEW_CHAIN: u16 = 3;
pub(super) const GET_CHAIN: u16 = 4;
pub(super) const DELETE_CHAIN: u16 = 5;
pub(super) const NEW_RULE: u16 = 6;
pub(super) const GET_RULE: u16 = 7;
pub(super) const DELETE_RULE: u16 = 8;
pub(super) const NEW_SET: u16 = 9;
pub(super) const GET_SET: u16 = 10;
pub(super) const DELETE_SET: u16 = 11;
pub(super) const NEW_ELEMENT: u16 = 12;
pub(super) const GET_ELEMENT: u16 = 13;
pub(super) const DELETE_ELEMENT: u16 = 14;
pub(super) const GET_GENERATION: u16 = 16;

/// The table's name is attribute 1 of every object that lies in one.
pub(super) const ANY_TABLE: u16 = 1;
pub(super) const GENERATION_ID: u16 = 1;

pub(super) const TABLE_FLAGS: u16 = 2;
/// Only the socket that made or adopted the table may change it.
pub(super) const TABLE_F_OWNER: u32 = 2;
/// The table outlives its owner (kernel 6.9).
pub(super) const TABLE_F_PERSIST: u32 = 4;

pub(super) const CHAIN_NAME: u16 = 3;
pub(super) const CHAIN_HOOK: u16 = 4;
pub(super) const CHAIN_POLICY: u16 = 5;
pub(super) const CHAIN_TYPE: u16 = 7;
pub(super) const POLICY_DROP: u32 = 0;
pub(super) const POLICY_ACCEPT: u32 = 1;
pub(super) const HOOK_FORWARD: u32 = 2;
pub(super) const HOOK_NUMBER: u16 = 1;
pub(super) const HOOK_PRIORITY: u16 = 2;

pub(super) const RULE_CHAIN: u16 = 2;
pub(super) const RULE_EXPRESSIONS: u16 = 4;
pub(super) const RULE_USERDATA: u16 = 7;
pub(super) const LIST_ELEMENT: u16 = 1;
pub(super) const EXPRESSION_NAME: u16 = 1;
pub(super) const EXPRESSION_DATA: u16 = 2;

pub(super) const META_KEY: u16 = 2;
pub(super) const META_IIFNAME: u32 = 6;
pub(super) const META_OIFNAME: u32 = 7;
pub(super) const COMPARE_DATA: u16 = 3;
pub(super) const IMMEDIATE_DATA: u16 = 2;

pub(super) const SET_NAME: u16 = 2;
pub(super) const SET_FLAGS: u16 = 3;
pub(super) const SET_KEY_TYPE: u16 = 4;
pub(super) const SET_KEY_LENGTH: u16 = 5;
pub(super) const SET_DATA_TYPE: u16 = 6;
pub(super) const SET_DESCRIPTION: u16 = 9;
pub(super) const SET_ID: u16 = 10;
pub(super) const SET_USERDATA: u16 = 13;
pub(super) const DESCRIPTION_CONCATENATION: u16 = 2;
pub(super) const FIELD_LENGTH: u16 = 1;
pub(super) const SET_F_INTERVAL: u32 = 0x4;
pub(super) const SET_F_MAP: u32 = 0x8;
pub(super) const SET_F_CONCATENATION: u32 = 0x80;
pub(super) const DATA_TYPE_VERDICT: u32 = 0xffff_ff00;

pub(super) const ELEMENTS_SET: u16 = 2;
pub(super) const ELEMENTS_LIST: u16 = 3;
pub(super) const ELEMENT_KEY: u16 = 1;
pub(super) const ELEMENT_DATA: u16 = 2;
pub(super) const ELEMENT_FLAGS: u16 = 3;
pub(super) const ELEMENT_KEY_END: u16 = 10;
pub(super) const ELEMENT_F_INTERVAL_END: u32 = 1;

pub(super) const DATA_VALUE: u16 = 1;
pub(super) const DATA_VERDICT: u16 = 2;
pub(super) const VERDICT_CODE: u16 = 1;
pub(super) const VERDICT_CHAIN: u16 = 2;
pub(super) const VERDICT_DROP: i32 = 0;
pub(super) const VERDICT_ACCEPT: i32 = 1;
pub(super) const VERDICT_JUMP: i32 = -3;
pub(super) const VERDICT_GOTO: i32 = -4;
pub(super) const VERDICT_RETURN: i32 = -5;

/// nft's own numbers of data types, kept by the kernel for it.
pub(super) const TYPE_IPV4: u32 = 7;
pub(super) const TYPE_IPV6: u32 = 8;
pub(super) const TYPE_PROTOCOL: u32 = 12;
pub(super) const TYPE_SERVICE: u32 = 13;
pub(super) const TYPE_IFNAME: u32 = 41;
/// Bits of each type in the type of a concatenation.
pub(super) const TYPE_BITS: u32 = 6;

pub(super) const USERDATA_RULE_COMMENT: u8 = 0;
pub(super) const USERDATA_SET_KEY_BYTE_ORDER: u8 = 0;
pub(super) const USERDATA_SET_COMMENT: u8 = 7;
