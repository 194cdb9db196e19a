//! Calls, events and errors of the contracts.

pub fn decode_revert(_data: &[u8]) -> Option<String> {
    None
}
