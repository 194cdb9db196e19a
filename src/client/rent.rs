//! A renter's side of a rental: pay, wait, end, read.

use std::{path::PathBuf, time::Duration};

use alloy::{
    primitives::{Address, U256},
    signers::local::PrivateKeySigner,
    sol_types::{SolCall, SolError},
};
use secrecy::SecretString;
use serde::Serialize;

use super::{Availability, ClientError, Clients, Mode, Submitted, market};
use crate::{
    chain::{BlockId, ChainError, Receipt, TxRequest},
    keys::{Strength, open_keystore, write_keystore},
    types::{
        Amount, DeviceId, OfferId, RentalId,
        abi::{GPURental, gpu_rental::IGPURental},
    },
};

/// Time a permit stays valid; the transaction follows at once.
const PERMIT_SECONDS: u64 = 1_200;

/// What a rental will cost at most, part by part.
#[derive(Debug, Clone, Serialize)]
pub struct Quote {
    pub offer: OfferId,
    pub duration_seconds: u32,
    pub rent_wei: Amount,
    pub protocol_fee_wei: Amount,
    pub bridge_fee_wei: Amount,
    pub ready_fee_wei: Amount,
    pub total_wei: Amount,
}

/// Where a rental stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RentalState {
    Requested,
    Active,
    Completed,
    Cancelled,
    Unknown,
}

/// A rental as the contract keeps it.
#[derive(Debug, Clone, Serialize)]
pub struct RentalView {
    pub rental: RentalId,
    pub offer: OfferId,
    pub device: DeviceId,
    pub renter: Address,
    pub provider: Address,
    pub session_key: Address,
    pub state: RentalState,
    /// Number of the contract's CloseReason.
    pub close_reason: u8,
    pub terms_version: u32,
    pub requested_at: u64,
    pub start: u64,
    pub end: u64,
    pub opened_at: u64,
    pub covered_until: u64,
    pub verified_seconds: u64,
    pub challenges_due: u32,
    pub challenges_passed: u32,
    pub escrowed_wei: Amount,
    pub paid_wei: Amount,
    pub refunded_wei: Amount,
    pub fees_wei: Amount,
}

impl RentalView {
    /// The state in a word.
    pub fn state_text(&self) -> String {
        format!("{:?}", self.state).to_lowercase()
    }
}

#[cfg(test)]
impl RentalView {
    /// A running rental, for tests to change.
    pub(super) fn sample() -> Self {
        let wei = Amount::default();
        Self {
            rental: 1,
            offer: 1,
            device: 1,
            renter: Address::repeat_byte(1),
            provider: Address::repeat_byte(2),
            session_key: Address::repeat_byte(3),
            state: RentalState::Active,
            close_reason: 0,
            terms_version: 1,
            requested_at: 90,
            start: 100,
            end: 1_000,
            opened_at: 110,
            covered_until: 0,
            verified_seconds: 0,
            challenges_due: 0,
            challenges_passed: 0,
            escrowed_wei: wei,
            paid_wei: wei,
            refunded_wei: wei,
            fees_wei: wei,
        }
    }
}

/// Price of `offer` for `duration_seconds`, as the contract computes it.
pub async fn quote(clients: &Clients, offer: OfferId, duration_seconds: u32) -> Result<Quote, ClientError> {
    let call = GPURental::quoteCall { offerId: offer, duration: duration_seconds };
    let quote = clients.ethereum.call(clients.book.ethereum.gpu_rental, call, BlockId::latest()).await;
    let quote = quote.map_err(|error| market::offer_error(offer, error))?;
    Ok(Quote {
        offer,
        duration_seconds,
        rent_wei: Amount(quote.rentCost),
        protocol_fee_wei: Amount(quote.protocolFee),
        bridge_fee_wei: Amount(quote.bridgeFee),
        ready_fee_wei: Amount(quote.readyFee),
        total_wei: Amount(quote.total),
    })
}

/// Pays into escrow. The session key is on disk before the payment leaves, so that no paid rental is without one.
pub async fn rent(clients: &Clients, quote: &Quote, sessions: &SessionKeys) -> Result<(RentalId, Receipt), ClientError> {
    require_rentable(clients, quote).await?;
    clients.require_tokens("the rental", quote.total_wei).await?;
    rent_with(clients, quote, sessions.create()?.address()).await
}

async fn require_rentable(clients: &Clients, quote: &Quote) -> Result<(), ClientError> {
    let view = market::offer(clients, quote.offer).await?;
    if view.availability != Availability::Rentable {
        return Err(ClientError::NotRentable { offer: quote.offer, reason: view.availability.to_string() });
    }
    let (shortest, longest) = (view.min_duration_seconds, view.max_duration_seconds);
    if !(shortest..=longest).contains(&quote.duration_seconds) {
        let reason = format!("{} s is outside the {shortest} to {longest} s that it allows", quote.duration_seconds);
        return Err(ClientError::NotRentable { offer: quote.offer, reason });
    }
    Ok(())
}

/// The same for a session key that the caller has made and written down.
pub(super) async fn rent_with(clients: &Clients, quote: &Quote, session_key: Address) -> Result<(RentalId, Receipt), ClientError> {
    let request = rent_request(clients, quote, session_key).await?;
    let receipt = clients.ethereum_wallet().send_request("rent", request).await?;
    let event = receipt.logs.iter().find_map(|log| log.decode::<GPURental::RentalRequested>());
    let id = event.map(|event| event.rentalId).ok_or(ClientError::UnknownRental { rental: 0 })?;
    Ok((id, receipt))
}

async fn rent_request(clients: &Clients, quote: &Quote, session_key: Address) -> Result<TxRequest, ClientError> {
    let permit = clients.permit(quote.total_wei).await?;
    let call = GPURental::rentWithPermitCall {
        offerId: quote.offer,
        duration: quote.duration_seconds,
        sessionKey: session_key,
        maxCost: quote.total_wei.wei(),
        deadline: permit.deadline,
        v: permit.v,
        r: permit.r,
        s: permit.s,
    };
    Ok(TxRequest::call(clients.book.ethereum.gpu_rental, call.abi_encode()))
}

/// Several rentals in one transaction, all or none, under one session key: their provider serves them with one container.
pub async fn rent_many(clients: &Clients, quotes: &[Quote], sessions: &SessionKeys) -> Result<(Vec<RentalId>, Receipt), ClientError> {
    for quote in quotes {
        require_rentable(clients, quote).await?;
    }
    clients.require_tokens("the rental", total_of(quotes)).await?;
    let request = rent_many_request(clients, quotes, sessions.create()?.address()).await?;
    let receipt = clients.ethereum_wallet().send_request("rentMany", request).await?;
    let ids: Vec<RentalId> =
        receipt.logs.iter().filter_map(|log| log.decode::<GPURental::RentalRequested>()).map(|event| event.rentalId).collect();
    if ids.len() == quotes.len() { Ok((ids, receipt)) } else { Err(ClientError::UnknownRental { rental: 0 }) }
}

async fn rent_many_request(clients: &Clients, quotes: &[Quote], session_key: Address) -> Result<TxRequest, ClientError> {
    let total = total_of(quotes);
    let permit = clients.permit(total).await?;
    let requests = quotes.iter().map(|quote| IGPURental::RentRequest {
        offerId: quote.offer,
        duration: quote.duration_seconds,
        sessionKey: session_key,
    });
    let call = GPURental::rentManyCall { requests: requests.collect(), maxCost: total.wei(), permit };
    Ok(TxRequest::call(clients.book.ethereum.gpu_rental, call.abi_encode()))
}

/// What renting so would cost in gas, or why it would be refused. Nothing is sent, and no session key is kept.
pub async fn rehearse(clients: &Clients, quotes: &[Quote]) -> Result<Submitted, ClientError> {
    for quote in quotes {
        require_rentable(clients, quote).await?;
    }
    clients.require_tokens("the rental", total_of(quotes)).await?;
    let session_key = PrivateKeySigner::random().address();
    let (action, request) = match quotes {
        [quote] => ("rent", rent_request(clients, quote, session_key).await?),
        _ => ("rentMany", rent_many_request(clients, quotes, session_key).await?),
    };
    clients.submit_request(Mode::DryRun, action, request).await
}

pub fn total_of(quotes: &[Quote]) -> Amount {
    Amount(quotes.iter().fold(U256::ZERO, |sum, quote| sum.saturating_add(quote.total_wei.wei())))
}

/// What more time costs, and until when the rental runs with it.
#[derive(Debug, Clone, Serialize)]
pub struct Extension {
    pub rental: RentalId,
    pub added_seconds: u32,
    pub cost_wei: Amount,
    pub end_before: u64,
    pub end: u64,
}

/// Price of `added_seconds` for a running rental, to the wei; refuses what the contract would refuse.
pub async fn extension(clients: &Clients, id: RentalId, added_seconds: u32) -> Result<Extension, ClientError> {
    let view = rental(clients, id).await?;
    // Asked to take nothing for it, the contract answers with the price.
    let call = GPURental::extendCall { rentalId: id, addedSeconds: added_seconds, maxCost: U256::ZERO };
    let request = TxRequest::call(clients.book.ethereum.gpu_rental, call.abi_encode());
    let asked = clients.ethereum.simulate(clients.signer.address(), &request, BlockId::latest()).await;
    let cost = match asked {
        Ok(_) => U256::ZERO,
        Err(ChainError::Reverted { data, .. }) if data.starts_with(&GPURental::MaxCostExceeded::SELECTOR) => {
            let error = GPURental::MaxCostExceeded::abi_decode(&data);
            error.map_err(|error| ClientError::Argument { argument: "RENTAL".into(), reason: error.to_string() })?.cost
        }
        Err(error) => return Err(error.into()),
    };
    let end = view.end + u64::from(added_seconds);
    Ok(Extension { rental: id, added_seconds, cost_wei: Amount(cost), end_before: view.end, end })
}

/// Buys the time of `extension`, at its price or not at all. What runs in the rental is not touched.
pub async fn extend(clients: &Clients, extension: &Extension, mode: Mode) -> Result<Submitted, ClientError> {
    clients.require_tokens("the extension", extension.cost_wei).await?;
    let call = GPURental::extendWithPermitCall {
        rentalId: extension.rental,
        addedSeconds: extension.added_seconds,
        maxCost: extension.cost_wei.wei(),
        permit: clients.permit(extension.cost_wei).await?,
    };
    clients.submit(mode, "extend", clients.book.ethereum.gpu_rental, call).await
}

impl Clients {
    /// Lets GPURental take `amount`, in the transaction that spends it.
    async fn permit(&self, amount: Amount) -> Result<IGPURental::PermitInput, ClientError> {
        let deadline = self.ethereum.head().await?.timestamp + PERMIT_SECONDS;
        let (token, contract) = (self.book.ethereum.gpu_token, self.book.ethereum.gpu_rental);
        let permit = self.ethereum_wallet().permit(token, contract, amount.wei(), deadline).await?;
        Ok(IGPURental::PermitInput { deadline: permit.deadline, v: permit.v, r: permit.r, s: permit.s })
    }
}

/// Ends a rental now: refunds the rest of a running one, all of one that never got ready.
pub async fn end(clients: &Clients, id: RentalId) -> Result<Receipt, ClientError> {
    let contract = clients.book.ethereum.gpu_rental;
    let wallet = clients.ethereum_wallet();
    match rental(clients, id).await?.state {
        RentalState::Requested => wallet.send("cancel", contract, GPURental::cancelCall { rentalId: id }).await,
        _ => wallet.send("endRental", contract, GPURental::endRentalCall { rentalId: id }).await,
    }
}

/// Moves what rentals credited to this account to `to`.
pub async fn claim(clients: &Clients, to: Address, mode: Mode) -> Result<(Amount, Submitted), ClientError> {
    let held = credit(clients, clients.signer.address()).await?;
    let sent = clients.submit(mode, "claim", clients.book.ethereum.gpu_rental, GPURental::claimCall { to }).await?;
    let claimed = sent.logs.iter().find_map(|log| log.decode::<GPURental::Claimed>()).map(|event| Amount(event.amount));
    Ok((claimed.unwrap_or(held), sent))
}

pub async fn credit(clients: &Clients, account: Address) -> Result<Amount, ClientError> {
    let call = GPURental::creditCall { account };
    Ok(Amount(clients.ethereum.call(clients.book.ethereum.gpu_rental, call, BlockId::latest()).await?))
}

pub async fn rental(clients: &Clients, id: RentalId) -> Result<RentalView, ClientError> {
    let call = GPURental::rentalCall { rentalId: id };
    let rental = clients.ethereum.call(clients.book.ethereum.gpu_rental, call, BlockId::latest()).await;
    let rental = rental.map_err(|error| match error {
        ChainError::Reverted { data, .. } if data.starts_with(&GPURental::UnknownRental::SELECTOR) => {
            ClientError::UnknownRental { rental: id }
        }
        other => other.into(),
    })?;
    let amount = |wei: u128| Amount(U256::from(wei));
    Ok(RentalView {
        rental: id,
        offer: rental.offerId,
        device: rental.deviceId,
        renter: rental.renter,
        provider: rental.provider,
        session_key: rental.sessionKey,
        state: match rental.state {
            1 => RentalState::Requested,
            2 => RentalState::Active,
            3 => RentalState::Completed,
            4 => RentalState::Cancelled,
            _ => RentalState::Unknown,
        },
        close_reason: rental.closeReason,
        terms_version: rental.termsVersion,
        requested_at: rental.requestedAt,
        start: rental.start,
        end: rental.end,
        opened_at: rental.openedAt,
        covered_until: rental.coveredUntil,
        verified_seconds: rental.verifiedSeconds,
        challenges_due: rental.due,
        challenges_passed: rental.passed,
        escrowed_wei: amount(rental.escrowed),
        paid_wei: amount(rental.paid),
        refunded_wei: amount(rental.refunded),
        fees_wei: amount(rental.fees),
    })
}

/// Rentals in which `account` is renter or provider, newest first.
pub async fn rentals(clients: &Clients, account: Address) -> Result<Vec<RentalView>, ClientError> {
    let contract = clients.book.ethereum.gpu_rental;
    let count = clients.ethereum.call(contract, GPURental::rentalCountCall {}, BlockId::latest()).await?;
    let mut found = Vec::new();
    for id in (1..=count).rev() {
        let view = rental(clients, id).await?;
        if view.renter == account || view.provider == account {
            found.push(view);
        }
    }
    Ok(found)
}

/// Time a provider has to say `ready`; a rental without it is refunded in full.
pub async fn ready_window_seconds(clients: &Clients) -> Result<u64, ClientError> {
    let parameters = clients.ethereum.call(clients.book.ethereum.gpu_rental, GPURental::parametersCall {}, BlockId::latest()).await?;
    Ok(parameters.readyWindow)
}

/// Polls until the rental is in `state`.
pub async fn wait_for(
    clients: &Clients,
    id: RentalId,
    state: RentalState,
    expected: &'static str,
    within: Duration,
) -> Result<RentalView, ClientError> {
    let deadline = tokio::time::Instant::now() + within;
    let mut tick = tokio::time::interval(clients.ethereum.poll_interval());
    loop {
        tick.tick().await;
        let view = rental(clients, id).await?;
        if view.state == state {
            return Ok(view);
        }
        let is_over = matches!(view.state, RentalState::Completed | RentalState::Cancelled);
        if is_over || tokio::time::Instant::now() > deadline {
            let state = format!("{:?}", view.state).to_lowercase();
            return Err(ClientError::StateTimeout { rental: id, expected, state, seconds: within.as_secs() });
        }
    }
}

/// Session keys of this machine's rentals: one keystore each.
pub struct SessionKeys {
    pub folder: PathBuf,
    pub password: SecretString,
    pub strength: Strength,
}

impl SessionKeys {
    pub(super) fn create(&self) -> Result<PrivateKeySigner, ClientError> {
        let signer = PrivateKeySigner::random();
        write_keystore(&self.path(signer.address()), &signer, &self.password, self.strength)?;
        Ok(signer)
    }

    /// The key that was named when `rental` was paid.
    pub fn open(&self, rental: &RentalView) -> Result<PrivateKeySigner, ClientError> {
        let path = self.path(rental.session_key);
        if !path.exists() {
            return Err(ClientError::NoSessionKey { rental: rental.rental, path });
        }
        Ok(open_keystore(&path, &self.password)?)
    }

    fn path(&self, address: Address) -> PathBuf {
        self.folder.join(format!("{address:#x}.json"))
    }
}
