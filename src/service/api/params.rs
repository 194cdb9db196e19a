//! Parameters as strangers write them: each is known, given once, and of its shape, or the request is refused.

use alloy::primitives::{Address, U256, keccak256};
use serde_json::{Value, json};

use crate::types::api::{ApiError, ApiRequest};

/// Entries of a page where none is asked for, and at most.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 100;
/// Bytes of a cursor that tie it to its list.
const TAG: usize = 8;

pub struct Params<'a> {
    request: &'a ApiRequest,
}

/// Which part of a list is wanted.
pub struct Page {
    limit: usize,
    after: Option<Vec<u8>>,
    tag: [u8; TAG],
}

impl<'a> Params<'a> {
    /// Refuses names that are not among `allowed`.
    pub fn new(request: &'a ApiRequest, allowed: &[&str]) -> Result<Self, ApiError> {
        for (at, (name, _)) in request.query.iter().enumerate() {
            if !allowed.contains(&name.as_str()) {
                let shown: String = name.chars().filter(|character| !character.is_control()).take(40).collect();
                return Err(ApiError::parameter(&shown, "this list does not know it"));
            }
            if request.query[..at].iter().any(|(other, _)| other == name) {
                return Err(ApiError::parameter(name, "it is given twice"));
            }
        }
        Ok(Self { request })
    }

    /// The same for a list with pages.
    pub fn paged(request: &'a ApiRequest, allowed: &[&str]) -> Result<(Self, Page), ApiError> {
        let params = Self::new(request, &[allowed, &["limit", "cursor"]].concat())?;
        let page = params.page()?;
        Ok((params, page))
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.request.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn string(&self, name: &str, longest: usize) -> Result<Option<&'a str>, ApiError> {
        match self.text(name) {
            Some(text) if text.len() > longest => Err(ApiError::parameter(name, format!("it has more than {longest} bytes"))),
            found => Ok(found),
        }
    }

    pub fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        self.text(name).map(|text| number(name, text)).transpose()
    }

    pub fn wei(&self, name: &str) -> Result<Option<U256>, ApiError> {
        self.text(name).map(|text| big(name, text)).transpose()
    }

    pub fn address(&self, name: &str) -> Result<Option<Address>, ApiError> {
        self.text(name).map(|text| address(name, text)).transpose()
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        Ok(self.choice(name, &["true", "false"])?.map(|text| text == "true"))
    }

    pub fn choice(&self, name: &str, choices: &[&'static str]) -> Result<Option<&'static str>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let found = choices.iter().find(|choice| **choice == text);
        found.map(|choice| Some(*choice)).ok_or_else(|| ApiError::parameter(name, format!("it is one of {}", choices.join(", "))))
    }

    fn page(&self) -> Result<Page, ApiError> {
        let limit = match self.number("limit")? {
            None => DEFAULT_LIMIT,
            Some(limit) => usize::try_from(limit)
                .ok()
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| ApiError::parameter("limit", format!("it is 1 to {MAX_LIMIT}")))?,
        };
        let mut identity = self.request.path.clone();
        let mut filters: Vec<_> = self.request.query.iter().filter(|(name, _)| name != "limit" && name != "cursor").collect();
        filters.sort();
        for (name, value) in filters {
            identity.push_str(&format!("&{}:{name}={}:{value}", name.len(), value.len()));
        }
        let mut tag = [0; TAG];
        tag.copy_from_slice(&keccak256(identity)[..TAG]);
        let after = self.text("cursor").map(|text| {
            let bytes = alloy::hex::decode(text).ok().filter(|_| text.len() <= 400 && !text.starts_with("0x"));
            bytes.and_then(|bytes| bytes.strip_prefix(&tag).map(<[u8]>::to_vec)).ok_or(ApiError::Cursor)
        });
        Ok(Page { limit, after: after.transpose()?, tag })
    }
}

impl Page {
    /// The entries with the lowest keys after the cursor's. A key is that of its entry for good, so nothing shifts.
    pub fn list<T>(
        &self,
        entries: impl Iterator<Item = (Vec<u8>, T)>,
        mut render: impl FnMut(T) -> Result<Value, ApiError>,
    ) -> Result<Value, ApiError> {
        let mut left: Vec<(Vec<u8>, T)> = entries.filter(|(key, _)| self.after.as_ref().is_none_or(|after| key > after)).collect();
        if left.len() > self.limit + 1 {
            left.select_nth_unstable_by(self.limit, |(a, _), (b, _)| a.cmp(b));
            left.truncate(self.limit + 1);
        }
        left.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let has_more = left.len() > self.limit;
        left.truncate(self.limit);
        let next = left.last().filter(|_| has_more).map(|(key, _)| alloy::hex::encode([&self.tag[..], key].concat()));
        let items = left.into_iter().map(|(_, entry)| render(entry)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({ "items": items, "next_cursor": next }))
    }
}

/// Ascending and descending sort keys.
pub fn up(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

pub fn down(number: u64) -> Vec<u8> {
    up(!number)
}

pub fn up_big(number: U256) -> Vec<u8> {
    number.to_be_bytes::<32>().to_vec()
}

pub fn down_big(number: U256) -> Vec<u8> {
    up_big(!number)
}

pub fn number(name: &str, text: &str) -> Result<u64, ApiError> {
    digits(name, text)?.parse().map_err(|_| ApiError::parameter(name, "it is larger than 2^64 - 1"))
}

pub fn big(name: &str, text: &str) -> Result<U256, ApiError> {
    U256::from_str_radix(digits(name, text)?, 10).map_err(|_| ApiError::parameter(name, "it is larger than 2^256 - 1"))
}

fn digits<'a>(name: &str, text: &'a str) -> Result<&'a str, ApiError> {
    let is_decimal = !text.is_empty() && text.len() <= 78 && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_canonical = text == "0" || !text.starts_with('0');
    if is_decimal && is_canonical { Ok(text) } else { Err(ApiError::parameter(name, "it is no whole number in decimal")) }
}

pub fn address(name: &str, text: &str) -> Result<Address, ApiError> {
    let hex = text.strip_prefix("0x").filter(|hex| hex.len() == 40);
    hex.and_then(|hex| hex.parse().ok()).ok_or_else(|| ApiError::parameter(name, "it is no address: 0x and 40 hex digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(query: &[(&str, &str)]) -> ApiRequest {
        ApiRequest { path: "things".into(), query: query.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect() }
    }

    fn page(query: &[(&str, &str)], things: &[u64]) -> Result<(Vec<u64>, Option<String>), ApiError> {
        let request = request(query);
        let (_, page) = Params::paged(&request, &["kind"])?;
        let list = page.list(things.iter().map(|thing| (down(*thing), *thing)), |thing| Ok(json!(thing)))?;
        let items = list["items"].as_array().unwrap().iter().map(|item| item.as_u64().unwrap()).collect();
        Ok((items, list["next_cursor"].as_str().map(str::to_string)))
    }

    #[test]
    fn what_comes_and_goes_moves_nothing_else() {
        let (first, next) = page(&[("limit", "2")], &[1, 2, 3, 4, 5]).unwrap();
        assert_eq!(first, [5, 4]);
        let next = next.unwrap();
        // New ones come before, and the last one shown is gone.
        let (second, next) = page(&[("limit", "2"), ("cursor", &next)], &[1, 2, 3, 5, 6, 7]).unwrap();
        assert_eq!(second, [3, 2]);
        let (third, next) = page(&[("limit", "2"), ("cursor", &next.unwrap())], &[1, 2, 3]).unwrap();
        assert_eq!((third, next), (vec![1], None));
    }

    #[test]
    fn a_cursor_belongs_to_its_list() {
        let (_, next) = page(&[("limit", "1")], &[1, 2]).unwrap();
        let next = next.unwrap();
        assert_eq!(page(&[("cursor", &next), ("kind", "a")], &[1]), Err(ApiError::Cursor));
        for wrong in ["", "zz", "00", "0x00", &"ab".repeat(300)] {
            let refused = page(&[("cursor", wrong)], &[1]);
            assert_eq!(refused, Err(ApiError::Cursor), "{wrong}");
        }
    }

    #[test]
    fn hostile_parameters_are_refused_by_name() {
        for (name, value) in [("limit", "0"), ("limit", "101"), ("limit", "-1"), ("limit", "1e1"), ("limit", "\u{661}"), ("nothing", "1")] {
            assert!(matches!(page(&[(name, value)], &[]), Err(ApiError::Parameter { name: told, .. }) if told == name), "{name}={value}");
        }
        assert!(page(&[("limit", "1"), ("limit", "2")], &[]).is_err());
        assert!(number("n", "18446744073709551616").is_err() && number("n", "01").is_err() && number("n", "18446744073709551615").is_ok());
        assert!(big("n", &"9".repeat(78)).is_err() && big("n", &U256::MAX.to_string()).is_ok());
        for wrong in ["", "0x", "0x12", "1234567890123456789012345678901234567890", "0xzz34567890123456789012345678901234567890"] {
            assert!(address("a", wrong).is_err(), "{wrong}");
        }
    }
}
