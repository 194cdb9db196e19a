//! Who is let in: the holder of the key that the rental names, on the connection that the login names, while the rental runs.

use alloy::{primitives::B256, sol_types::SolStruct};

use super::Host;
use crate::{
    service::{
        session::{Login, SessionError},
        unix_seconds,
    },
    types::signing::{SessionKey, SessionOpened, contract_domain, recover_compact},
};

/// How far the renter's clock may differ from ours.
const CLOCK_SKEW_SECONDS: u64 = 120;

/// What a login may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Launch and status: from the payment on.
    Control,
    /// Kernels and shells: while the meter runs.
    Use,
}

impl Host {
    /// Returns the SSH keys that the renter vouches for. `peer` is the identity that the connection below the stream has proven; a login that names another one was overheard or replayed.
    pub(super) fn admit(&self, login: &Login, peer: &[u8], purpose: Purpose) -> Result<Vec<Vec<u8>>, SessionError> {
        let rental = self.rental(login.rental).ok_or(SessionError::UnknownRental { rental: login.rental })?;
        let now = unix_seconds();
        let is_due = match purpose {
            Purpose::Use => rental.covers(now),
            Purpose::Control => rental.covers(now) || (rental.start == 0 && !rental.is_closed),
        };
        if !is_due {
            return Err(SessionError::NotRunning { rental: login.rental, start: rental.start, end: rental.end });
        }
        if login.public_key != peer {
            return Err(SessionError::WrongPeer);
        }
        if login.opened_at.abs_diff(now) > CLOCK_SKEW_SECONDS {
            return Err(SessionError::Clock { theirs: login.opened_at, ours: now });
        }
        let is_signed = |digest: B256, signature: &[u8]| recover_compact(digest, signature) == Some(rental.session_key);
        let domain = contract_domain(self.chain_id, self.contract);
        let opened = SessionOpened { rentalId: login.rental, time: login.opened_at };
        if !is_signed(opened.eip712_signing_hash(&domain), &login.opened_signature) {
            return Err(SessionError::WrongSignature);
        }
        if login.expiry <= now {
            return Err(SessionError::Expired { expiry: login.expiry });
        }
        let named = SessionKey { rentalId: login.rental, publicKey: login.public_key.clone().into(), expiry: login.expiry };
        if !is_signed(named.eip712_signing_hash(&domain), &login.key_signature) {
            return Err(SessionError::WrongSignature);
        }
        login.authorized_keys(&domain, rental.session_key, now)
    }
}
