//! Events of contracts, as pages and streams show them.

use alloy::primitives::Address;
use serde_json::{Value, json};

use super::{
    MarketApi, Snapshot,
    json::{hex, hex_or_null, int, int_or_null},
    params::{Params, down, up},
};
use crate::{
    service::indexer::{Place, StoredLog, describe::describe},
    types::{
        ChainKind,
        api::{ApiError, ApiRequest},
    },
};

/// One event; `None` for what nobody needs to be told of. What an event leaves out of whom it concerns is taken from the views.
pub fn event(view: &Snapshot, chain: ChainKind, stored: &StoredLog) -> Option<(&'static str, Value)> {
    let told = describe(stored, chain, view.book())?;
    let rental = told.rental.and_then(|id| view.eth.market.rentals.get(&id));
    let device = told.device.or_else(|| rental.map(|rental| rental.device));
    let offer = told.offer.or_else(|| rental.map(|rental| rental.offer));
    let owner = device.and_then(|id| view.eth.stakes.devices.get(&id)).map(|device| device.provider);
    let of_offer = offer.and_then(|id| view.eth.market.offers.get(&id)).map(|offer| offer.provider);
    let provider = told.provider.or_else(|| rental.map(|rental| rental.provider)).or(owner).or(of_offer);
    let log = &stored.log;
    let event = json!({
        "id": format!("{chain}-{}-{}", log.block_number, log.log_index),
        "chain": chain.name(),
        "type": told.kind,
        "block": int(log.block_number),
        "log_index": int(log.log_index),
        "block_hash": hex(log.block_hash),
        "transaction": hex(log.tx_hash),
        "timestamp": int(stored.timestamp),
        "text": told.text,
        "account": hex_or_null(told.account.or_else(|| rental.map(|rental| rental.renter))),
        "provider": hex_or_null(provider),
        "offer": int_or_null(offer),
        "device": int_or_null(device),
        "rental": int_or_null(told.rental),
        "challenge": int_or_null(told.challenge),
        "message": int_or_null(told.message),
        "message_origin": told.message_origin.map(ChainKind::name),
        "case": int_or_null(told.case),
        "proposal": int_or_null(told.proposal),
        "allocation": int_or_null(told.allocation),
        "amount_wei": int_or_null(told.amount),
    });
    Some((told.kind, event))
}

type Found = (ChainKind, Place);

/// Place of an event among those of both chains.
fn key((chain, (timestamp, (block, position))): &Found, newest_first: bool) -> Vec<u8> {
    let part = if newest_first { down } else { up };
    [part(*timestamp), part(*chain as u64), part(*block), part(*position)].concat()
}

fn list(view: &Snapshot, request: &ApiRequest, places: Vec<Found>, newest_first: bool) -> Result<Value, ApiError> {
    let (_, page) = Params::paged(request, &[])?;
    let keyed = places.into_iter().map(|found| (key(&found, newest_first), found));
    page.list(keyed, |(chain, (_, position))| {
        let stored = view.api.read(chain, position)?;
        event(view, chain, &stored).map(|(_, event)| event).ok_or(ApiError::Internal)
    })
}

impl MarketApi {
    fn read(&self, chain: ChainKind, position: (u64, u64)) -> Result<StoredLog, ApiError> {
        let found = self.index.log(chain, position).map_err(|_| ApiError::Internal)?;
        // A reorganisation is taking it away at this moment.
        found.ok_or(ApiError::NotReady)
    }
}

/// Oldest first.
pub fn of_rental(view: &Snapshot, request: &ApiRequest, rental: u64) -> Result<Value, ApiError> {
    let on = |chain| view.chain(chain).places.by_rental.get(&rental).into_iter().flatten().map(move |place| (chain, *place));
    list(view, request, ChainKind::BOTH.into_iter().flat_map(on).collect(), false)
}

/// Newest first.
pub fn of_account(view: &Snapshot, request: &ApiRequest, account: Address) -> Result<Value, ApiError> {
    let on = |chain| view.chain(chain).places.by_account.get(&account).into_iter().flatten().map(move |place| (chain, *place));
    list(view, request, ChainKind::BOTH.into_iter().flat_map(on).collect(), true)
}
