//! Another device in place of one whose provider failed, without ever paying for two.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

use super::{
    ClientError, Clients,
    market::{self, Filter, OfferView},
    rent::{self, RentalView, SessionKeys},
};
use crate::types::{Amount, OfferId, RentalId};

/// What the next rental has to be.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub class_version: u32,
    pub max_price_per_hour: Amount,
    pub duration_seconds: u32,
    /// The offer that failed, and whose it was.
    pub failed: OfferId,
    pub provider: Address,
    /// Everything of that provider failed with it: it does not answer.
    pub avoid_provider: bool,
}

/// The best match: as the market sorts them, other providers before the one that failed.
pub fn next_offer(offers: &[OfferView], wanted: &Wanted) -> Option<OfferId> {
    let fits = |offer: &&OfferView| {
        offer.availability == super::Availability::Rentable
            && offer.offer != wanted.failed
            && offer.class_version == wanted.class_version
            && offer.price_per_hour_wei <= wanted.max_price_per_hour
            && (offer.min_duration_seconds..=offer.max_duration_seconds).contains(&wanted.duration_seconds)
            && !(wanted.avoid_provider && offer.provider == wanted.provider)
    };
    let (same, other): (Vec<&OfferView>, Vec<&OfferView>) = offers.iter().filter(fits).partition(|offer| offer.provider == wanted.provider);
    other.first().or(same.first()).map(|offer| offer.offer)
}

/// Written before the payment, so that a second run finds the first one's rental instead of paying again.
#[derive(Debug, Serialize, Deserialize)]
struct Promise {
    failed: RentalId,
    session_key: Address,
}

/// Rents in place of `failed`, once: a rental that an earlier run has paid for is taken over.
pub async fn rent_instead(
    clients: &Clients,
    failed: &RentalView,
    wanted: &Wanted,
    spend_limit: Option<Amount>,
    sessions: &SessionKeys,
    data_dir: &Path,
) -> Result<RentalId, ClientError> {
    let folder = data_dir.join("failover");
    let path = folder.join(format!("{}.json", failed.rental));
    if let Some(promise) = read(&path)? {
        let ours = rent::rentals(clients, clients.signer.address()).await?;
        let found = ours.iter().find(|rental| rental.session_key == promise.session_key);
        return found.map(|rental| rental.rental).ok_or(ClientError::FailoverUnsure { rental: failed.rental, path });
    }
    let filter = Filter { class_version: Some(wanted.class_version), ..Filter::default() };
    let offer = next_offer(&market::market(clients, &filter).await?, wanted).ok_or(ClientError::NoMatch { rental: failed.rental })?;
    let quote = rent::quote(clients, offer, wanted.duration_seconds).await?;
    if let Some(limit) = spend_limit.filter(|limit| quote.total_wei > *limit) {
        return Err(ClientError::TooExpensive { cost: quote.total_wei, limit });
    }
    clients.require_tokens("the rental", quote.total_wei).await?;
    let session_key = sessions.create()?.address();
    write_once(&folder, &path, &Promise { failed: failed.rental, session_key })?;
    match rent::rent_with(clients, &quote, session_key).await {
        Ok((rental, _)) => Ok(rental),
        // Nothing has left this machine, or it was refused: the next run may choose anew.
        Err(error) if !matches!(error, ClientError::NotMined { .. }) => {
            let is_refusal = matches!(&error, ClientError::Failed { .. } | ClientError::Chain(crate::chain::ChainError::Reverted { .. }));
            if is_refusal {
                fs::remove_file(&path).map_err(|source| ClientError::File { path, source })?;
            }
            Err(error)
        }
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> Result<Option<Promise>, ClientError> {
    let failed = |source| ClientError::File { path: path.into(), source };
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Fails where the file is there already: then somebody else has promised the same.
fn write_once(folder: &Path, path: &Path, promise: &Promise) -> Result<(), ClientError> {
    let failed = |source| ClientError::File { path: path.into(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let bytes = serde_json::to_vec(promise).map_err(|error| failed(error.into()))?;
    // Complete or absent: a reader must not meet a half-written one.
    let partial = path.with_extension(format!("{}.part", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial).map_err(failed)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    let linked = fs::hard_link(&partial, path);
    fs::remove_file(&partial).map_err(failed)?;
    linked.map_err(failed)?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;

    use super::*;
    use crate::client::Availability;

    fn offer(id: OfferId, provider: u8, price: u64) -> OfferView {
        let price = Amount(U256::from(price));
        OfferView {
            offer: id,
            device: id,
            provider: Address::repeat_byte(provider),
            class_version: 1,
            price_per_second_wei: price,
            price_per_hour_wei: price,
            min_duration_seconds: 60,
            max_duration_seconds: 600,
            region: String::new(),
            last_full_pass: 1,
            reputation_ppm: 0,
            performance_permille: 1_000,
            faults: 0,
            availability: Availability::Rentable,
        }
    }

    #[test]
    fn the_next_offer_matches_and_is_preferably_anothers() {
        let wanted = Wanted {
            class_version: 1,
            max_price_per_hour: Amount(U256::from(10)),
            duration_seconds: 300,
            failed: 1,
            provider: Address::repeat_byte(1),
            avoid_provider: false,
        };
        let offers = [offer(1, 1, 5), offer(2, 1, 5), offer(3, 2, 11), offer(4, 3, 10)];
        assert_eq!(next_offer(&offers, &wanted), Some(4), "3 is too expensive");
        assert_eq!(next_offer(&offers[..3], &wanted), Some(2), "the same provider where there is no other");
        assert_eq!(next_offer(&offers[..3], &Wanted { avoid_provider: true, ..wanted }), None);
        assert_eq!(next_offer(&offers, &Wanted { duration_seconds: 601, ..wanted }), None);
        assert_eq!(next_offer(&offers, &Wanted { class_version: 2, ..wanted }), None);
        let held = OfferView { availability: Availability::Rented(9), ..offer(4, 3, 10) };
        assert_eq!(next_offer(&[held], &wanted), None);
    }

    #[test]
    fn a_promise_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("failover/7.json");
        assert!(read(&path).unwrap().is_none());
        let promise = |byte| Promise { failed: 7, session_key: Address::repeat_byte(byte) };
        write_once(path.parent().unwrap(), &path, &promise(1)).unwrap();
        assert!(write_once(path.parent().unwrap(), &path, &promise(2)).is_err());
        assert_eq!(read(&path).unwrap().unwrap().session_key, Address::repeat_byte(1));
        fs::write(&path, "half").unwrap();
        assert!(read(&path).is_err(), "what cannot be read is no permission to pay");
    }
}
