use crate::wire::*;
use ipnetwork::IpNetwork;
/// x
pub fn encode_end_of_rib(_family: Family) -> Bytes { todo!() }
/// x
pub fn encode_withdrawn(_prefixes: &[IpNetwork], _encoding: Encoding) -> Vec<Bytes> { todo!() }
impl Announcement {
    /// x
    pub fn encode(&self, _encoding: Encoding) -> Result<Vec<Bytes>, AttributesTooLarge> { todo!() }
}
impl Update {
    pub(in crate::wire) fn encode(&self, _encoding: Encoding) -> Result<Vec<Bytes>, AttributesTooLarge> { todo!() }
}
