//! How values are written: integers as decimal strings, addresses and hashes in lower-case hex.

use std::fmt::{Display, LowerHex};

use alloy::primitives::{Address, B256, U256};
use serde_json::Value;

pub fn int(number: impl Display) -> Value {
    Value::String(number.to_string())
}

pub fn hex(bytes: impl LowerHex) -> Value {
    Value::String(format!("{bytes:#x}"))
}

pub fn int_or_null(number: Option<impl Display>) -> Value {
    number.map_or(Value::Null, int)
}

pub fn hex_or_null(bytes: Option<impl LowerHex>) -> Value {
    bytes.map_or(Value::Null, hex)
}

/// Null for zero.
pub fn positive(number: u64) -> Value {
    int_or_null((number != 0).then_some(number))
}

/// Null for the zero address.
pub fn somebody(address: Address) -> Value {
    hex_or_null((!address.is_zero()).then_some(address))
}

/// Printable part of a bytes32 text; providers choose it, so control characters are dropped.
pub fn word(word: B256) -> String {
    String::from_utf8_lossy(word.as_slice()).chars().filter(|character| !character.is_control()).collect()
}

/// `a * b / c`, rounded down; zero where `c` is.
pub fn ratio(a: U256, b: u64, c: U256) -> U256 {
    a.saturating_mul(U256::from(b)).checked_div(c).unwrap_or_default()
}
