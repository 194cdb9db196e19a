//! Typed tables: one RocksDB column each, keys that sort as their numbers do.

use std::marker::PhantomData;

use alloy::primitives::{Address, B256};
use serde::{Serialize, de::DeserializeOwned};

use super::StoreError;

/// A column with the type of its keys and values.
pub struct Table<K, V> {
    name: &'static str,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Table<K, V> {
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<K, V: Serialize> Table<K, V> {
    pub(super) fn encode(&self, value: &V) -> Result<Vec<u8>, StoreError> {
        postcard::to_stdvec(value).map_err(|error| StoreError::Corrupt { column: self.name, reason: error.to_string() })
    }
}

impl<K, V: DeserializeOwned> Table<K, V> {
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<V, StoreError> {
        postcard::from_bytes(bytes).map_err(|error| StoreError::Corrupt { column: self.name, reason: error.to_string() })
    }
}

/// A key whose byte order is its natural order.
pub trait Key: Sized {
    fn to_bytes(&self) -> Vec<u8>;
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

macro_rules! integer_key {
    ($($integer:ty),*) => {$(
        impl Key for $integer {
            fn to_bytes(&self) -> Vec<u8> {
                self.to_be_bytes().to_vec()
            }

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(<$integer>::from_be_bytes)
            }
        }
    )*};
}

integer_key!(u8, u32, u64);

impl Key for B256 {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
}

impl Key for Address {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
}

/// Text keys stand alone or last in a pair, so they need no terminator.
impl Key for String {
    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        String::from_utf8(bytes.to_vec()).ok()
    }
}

/// A key of fixed width, so that it can stand before another one.
pub trait FixedKey: Key {
    const WIDTH: usize;
}

macro_rules! fixed_key {
    ($($key:ty = $width:expr),*) => {$(
        impl FixedKey for $key {
            const WIDTH: usize = $width;
        }
    )*};
}

fixed_key!(u8 = 1, u32 = 4, u64 = 8, B256 = 32, Address = 20);

impl<A: FixedKey, B: Key> Key for (A, B) {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.0.to_bytes();
        bytes.extend(self.1.to_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (first, second) = bytes.split_at_checked(A::WIDTH)?;
        Some((A::from_bytes(first)?, B::from_bytes(second)?))
    }
}
