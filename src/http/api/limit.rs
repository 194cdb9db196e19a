//! How much one address may ask for.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use lru::LruCache;

/// Addresses that are remembered. Fewer would let somebody with more of them start anew each time.
const ADDRESSES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(65_535);

/// What an address has left, and the streams that it holds.
struct Bucket {
    tokens: f64,
    filled_at: Instant,
    streams: usize,
}

/// One bucket of tokens per address, and the seats for streams.
#[derive(Clone)]
pub struct Limiter {
    inner: Arc<Mutex<Inner>>,
    per_second: f64,
    burst: f64,
    streams: usize,
    streams_per_address: usize,
}

struct Inner {
    buckets: LruCache<IpAddr, Bucket>,
    streams: usize,
}

impl Limiter {
    pub fn new(per_second: u32, burst: u32, streams: usize, streams_per_address: usize) -> Self {
        let inner = Inner { buckets: LruCache::new(ADDRESSES), streams: 0 };
        let burst = f64::from(burst.max(1));
        Self { inner: Arc::new(Mutex::new(inner)), per_second: f64::from(per_second.max(1)), burst, streams, streams_per_address }
    }

    /// Takes a token, or says after how many seconds there is one.
    pub fn admit(&self, address: IpAddr, now: Instant) -> Result<(), u64> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = self.bucket(&mut inner, address, now);
        let earned = now.saturating_duration_since(bucket.filled_at).as_secs_f64() * self.per_second;
        bucket.tokens = (bucket.tokens + earned).min(self.burst);
        bucket.filled_at = now;
        if bucket.tokens < 1.0 {
            return Err(((1.0 - bucket.tokens) / self.per_second).ceil().max(1.0) as u64);
        }
        bucket.tokens -= 1.0;
        Ok(())
    }

    /// A seat for a stream; given back when it is dropped.
    pub fn seat(&self, address: IpAddr, now: Instant) -> Option<Seat> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = inner.streams >= self.streams;
        let bucket = self.bucket(&mut inner, address, now);
        if is_full || bucket.streams >= self.streams_per_address {
            return None;
        }
        bucket.streams += 1;
        inner.streams += 1;
        Some(Seat { limiter: self.clone(), address: network(address) })
    }

    fn bucket<'a>(&self, inner: &'a mut Inner, address: IpAddr, now: Instant) -> &'a mut Bucket {
        inner.buckets.get_or_insert_mut(network(address), || Bucket { tokens: self.burst, filled_at: now, streams: 0 })
    }
}

/// Whoever has one IPv6 address has a /64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !(u128::from(u64::MAX)))),
        address => address,
    }
}

pub struct Seat {
    limiter: Limiter,
    address: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.limiter.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.streams = inner.streams.saturating_sub(1);
        if let Some(bucket) = inner.buckets.peek_mut(&self.address) {
            bucket.streams = bucket.streams.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_refused_and_patience_is_rewarded() {
        let limiter = Limiter::new(2, 3, 8, 8);
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let start = Instant::now();
        assert_eq!((0..5).filter(|_| limiter.admit(one, start).is_ok()).count(), 3);
        assert_eq!(limiter.admit(one, start), Err(1));
        assert_eq!(limiter.admit(other, start), Ok(()), "others are not held back");
        let later = start + Duration::from_secs(1);
        assert_eq!((0..5).filter(|_| limiter.admit(one, later).is_ok()).count(), 2);
        let neighbours = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse::<IpAddr>().unwrap());
        let admitted = (0..6).filter(|at| limiter.admit(neighbours[at % 2], start).is_ok()).count();
        assert_eq!(admitted, 3, "one network, one bucket");
    }

    #[test]
    fn streams_have_seats() {
        let limiter = Limiter::new(1, 1, 3, 2);
        let now = Instant::now();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let first = limiter.seat(one, now).unwrap();
        let _second = limiter.seat(one, now).unwrap();
        assert!(limiter.seat(one, now).is_none());
        let _third = limiter.seat(other, now).unwrap();
        assert!(limiter.seat(other, now).is_none(), "all seats are taken");
        drop(first);
        assert!(limiter.seat(other, now).is_some());
    }
}
