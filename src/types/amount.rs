//! GPUTOKEN amounts: wei inside, decimal tokens for people.

use std::{fmt, str::FromStr};

use alloy::primitives::{
    U256,
    utils::{format_units, parse_units},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Decimals of GPUTOKEN.
pub const DECIMALS: u8 = 18;
/// What amounts of it are marked with.
pub const SYMBOL: &str = "GPUTOKEN";

/// What was written is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an amount of GPUTOKEN: write digits with at most 18 decimals, such as 12.5")]
pub struct NoAmount;

/// An amount of GPUTOKEN in wei. Shown in tokens, serialised as a decimal string of wei.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub U256);

impl Amount {
    pub fn wei(self) -> U256 {
        self.0
    }

    /// Parses a human amount of whole tokens such as `12.5` or `12.5 GPUTOKEN`.
    pub fn parse_tokens(text: &str) -> Result<Self, NoAmount> {
        let number = text.trim().strip_suffix(SYMBOL).unwrap_or(text).trim();
        // The parser takes signs and a bare point, which no amount has.
        if !number.starts_with(|character: char| character.is_ascii_digit()) {
            return Err(NoAmount);
        }
        parse_units(number, DECIMALS).map(|parsed| Self(parsed.get_absolute())).map_err(|_| NoAmount)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format_units(self.0, DECIMALS).map_err(|_| fmt::Error)?;
        let trimmed = text.trim_end_matches('0').trim_end_matches('.');
        f.write_str(if trimmed.is_empty() { "0" } else { trimmed })
    }
}

impl FromStr for Amount {
    type Err = NoAmount;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse_tokens(text)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        U256::from_str_radix(&text, 10).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_tokens_and_serialises_wei() {
        let amount = Amount::parse_tokens("12.5").unwrap();
        assert_eq!(amount.to_string(), "12.5");
        assert_eq!(serde_json::to_string(&amount).unwrap(), "\"12500000000000000000\"");
        assert_eq!(Amount::parse_tokens("100").unwrap().to_string(), "100");
        assert_eq!(Amount::default().to_string(), "0");
        assert_eq!(Amount::parse_tokens("12.5 GPUTOKEN").unwrap(), amount);
        for wrong in ["1,5", "-5", "+5", "", "GPUTOKEN", ".", "5 ETH", "1e3"] {
            assert!(Amount::parse_tokens(wrong).is_err(), "{wrong}");
        }
    }
}
