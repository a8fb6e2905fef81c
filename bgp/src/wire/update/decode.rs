use crate::wire::*;
impl Update {
    pub(in crate::wire) fn decode(_body: &[u8], _context: &SessionContext) -> Result<Self, DecodeError> { todo!() }
}
