//! Who is let in: the holder of the key that the rental names, on the connection that the login names, while the rental runs.

use alloy::{
    primitives::B256,
    sol_types::{Eip712Domain, SolStruct},
};

use super::Host;
use crate::{
    service::{
        index::RentalInfo,
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
    /// Returns the SSH keys that the renter vouches for. `peer` is the identity that the connection below the stream has proven.
    pub(super) fn admit(&self, login: &Login, peer: &[u8], purpose: Purpose) -> Result<Vec<Vec<u8>>, SessionError> {
        let rental = self.rental(login.rental).ok_or(SessionError::UnknownRental { rental: login.rental })?;
        check(&rental, login, peer, purpose, unix_seconds(), &contract_domain(self.chain_id, self.contract))
    }
}

/// A login that names another peer than `peer` was overheard or replayed.
fn check(
    rental: &RentalInfo,
    login: &Login,
    peer: &[u8],
    purpose: Purpose,
    now: u64,
    domain: &Eip712Domain,
) -> Result<Vec<Vec<u8>>, SessionError> {
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
    let opened = SessionOpened { rentalId: login.rental, time: login.opened_at };
    if !is_signed(opened.eip712_signing_hash(domain), &login.opened_signature) {
        return Err(SessionError::WrongSignature);
    }
    if login.expiry <= now {
        return Err(SessionError::Expired { expiry: login.expiry });
    }
    let named = SessionKey { rentalId: login.rental, publicKey: login.public_key.clone().into(), expiry: login.expiry };
    if !is_signed(named.eip712_signing_hash(domain), &login.key_signature) {
        return Err(SessionError::WrongSignature);
    }
    login.authorized_keys(domain, rental.session_key, now)
}

#[cfg(test)]
mod tests {
    use alloy::{
        primitives::Address,
        signers::{SignerSync, local::PrivateKeySigner},
    };

    use super::*;
    use crate::types::signing::compact;

    const NOW: u64 = 1_000;
    const PEER: &[u8] = b"peer of the renter";

    struct Case {
        key: PrivateKeySigner,
        rental: RentalInfo,
        domain: Eip712Domain,
    }

    impl Case {
        fn new() -> Self {
            let key = PrivateKeySigner::random();
            let rental = RentalInfo {
                offer: 1,
                renter: Address::repeat_byte(1),
                provider: Address::repeat_byte(2),
                device: 1,
                session_key: key.address(),
                start: 900,
                end: 2_000,
                is_opened: false,
                is_closed: false,
            };
            Self { key, rental, domain: contract_domain(1, Address::repeat_byte(3)) }
        }

        fn login(&self, rental: u64, opened_at: u64, expiry: u64) -> Login {
            let sign = |digest: B256| compact(&self.key.sign_hash_sync(&digest).unwrap()).to_vec();
            let named = SessionKey { rentalId: rental, publicKey: PEER.to_vec().into(), expiry };
            Login {
                rental,
                public_key: PEER.to_vec(),
                expiry,
                key_signature: sign(named.eip712_signing_hash(&self.domain)),
                opened_at,
                opened_signature: sign(SessionOpened { rentalId: rental, time: opened_at }.eip712_signing_hash(&self.domain)),
                ssh_keys: Vec::new(),
            }
        }

        fn check(&self, login: &Login, peer: &[u8]) -> Result<Vec<Vec<u8>>, SessionError> {
            check(&self.rental, login, peer, Purpose::Use, NOW, &self.domain)
        }
    }

    #[test]
    fn the_holder_of_the_rentals_key_is_let_in_and_nobody_else() {
        let case = Case::new();
        let good = case.login(7, NOW, NOW + 60);
        assert!(case.check(&good, PEER).unwrap().is_empty());
        // Overheard, and replayed from another machine.
        assert!(matches!(case.check(&good, b"somebody else"), Err(SessionError::WrongPeer)));
        let renamed = Login { public_key: b"somebody else".to_vec(), ..good.clone() };
        assert!(matches!(case.check(&renamed, b"somebody else"), Err(SessionError::WrongSignature)));
        // Another renter's rental, under a key that is good elsewhere.
        let stranger = Case::new().login(7, NOW, NOW + 60);
        assert!(matches!(case.check(&stranger, PEER), Err(SessionError::WrongSignature)));
        let elsewhere = Login { rental: 8, ..good.clone() };
        assert!(matches!(case.check(&elsewhere, PEER), Err(SessionError::WrongSignature)));
        // Another deployment.
        let other = Case { domain: contract_domain(2, Address::repeat_byte(3)), ..Case::new() };
        let other = Case { rental: case.rental, key: case.key.clone(), ..other }.login(7, NOW, NOW + 60);
        assert!(matches!(case.check(&other, PEER), Err(SessionError::WrongSignature)));
        for garbage in [Vec::new(), vec![0; 64], vec![0xff; 64], vec![1; 65]] {
            assert!(matches!(case.check(&Login { key_signature: garbage, ..good.clone() }, PEER), Err(SessionError::WrongSignature)));
        }
    }

    #[test]
    fn an_expired_key_and_an_old_login_are_refused() {
        let case = Case::new();
        assert!(matches!(case.check(&case.login(7, NOW, NOW), PEER), Err(SessionError::Expired { expiry: NOW })));
        let stretched = Login { expiry: NOW + 60, ..case.login(7, NOW, NOW) };
        assert!(matches!(case.check(&stretched, PEER), Err(SessionError::WrongSignature)), "the expiry is signed");
        for opened_at in [NOW - CLOCK_SKEW_SECONDS - 1, NOW + CLOCK_SKEW_SECONDS + 1] {
            assert!(matches!(case.check(&case.login(7, opened_at, NOW + 600), PEER), Err(SessionError::Clock { .. })));
        }
        let moved = Login { opened_at: NOW + 1, ..case.login(7, NOW, NOW + 60) };
        assert!(matches!(case.check(&moved, PEER), Err(SessionError::WrongSignature)));
    }

    #[test]
    fn a_rental_lets_in_while_it_runs() {
        let mut case = Case::new();
        let login = case.login(7, NOW, NOW + 60);
        let both = |case: &Case| {
            [Purpose::Control, Purpose::Use].map(|purpose| check(&case.rental, &login, PEER, purpose, NOW, &case.domain).is_ok())
        };
        assert_eq!(both(&case), [true, true]);
        (case.rental.start, case.rental.end) = (0, 0);
        assert_eq!(both(&case), [true, false], "before it is ready one can say what to start");
        case.rental.is_closed = true;
        assert_eq!(both(&case), [false, false]);
        (case.rental.start, case.rental.end) = (900, NOW);
        assert_eq!(both(&case), [false, false], "the end is the end");
    }
}
