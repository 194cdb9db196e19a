//! Answers of the public interface: the market's index in the shapes that docs/openapi.json describes.

mod bridge;
mod config;
mod events;
mod governance;
mod json;
pub mod live;
mod market;
mod network;
mod offers;
mod params;
mod rentals;
mod stakes;
mod stream;
mod token;
mod work;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use futures::stream::BoxStream;
use serde_json::Value;

use self::live::Live;
use super::{
    checkpoints::CheckpointBook,
    indexer::{ChainView, MarketIndex},
};
use crate::{
    http::api::Backend,
    types::{
        AddressBook, ChainKind,
        api::{ApiError, ApiRequest, SseMessage},
    },
};

/// The description that everything here keeps to.
const OPENAPI: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json"));

/// What a King is configured with and tells everybody.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    pub strides: [u64; 2],
    pub classic_min_depth: u64,
    pub silent_chain_seconds: u64,
}

/// Cloneable; all clones answer from the same index.
#[derive(Clone)]
pub struct MarketApi {
    index: MarketIndex,
    checkpoints: CheckpointBook,
    live: Arc<RwLock<Live>>,
    told: Told,
}

/// Both views at one moment.
struct Snapshot<'a> {
    eth: RwLockReadGuard<'a, ChainView>,
    etc: RwLockReadGuard<'a, ChainView>,
    live: RwLockReadGuard<'a, Live>,
    api: &'a MarketApi,
}

impl Snapshot<'_> {
    fn chain(&self, kind: ChainKind) -> &ChainView {
        match kind {
            ChainKind::Ethereum => &self.eth,
            ChainKind::Classic => &self.etc,
        }
    }

    fn book(&self) -> &AddressBook {
        &self.api.index.book
    }

    /// The time that Ethereum's contracts count by.
    fn now(&self) -> u64 {
        self.eth.head.timestamp
    }
}

impl MarketApi {
    pub fn new(index: MarketIndex, checkpoints: CheckpointBook, live: Arc<RwLock<Live>>, told: Told) -> Self {
        Self { index, checkpoints, live, told }
    }

    fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            eth: self.index.view(ChainKind::Ethereum),
            etc: self.index.view(ChainKind::Classic),
            live: self.live.read().unwrap_or_else(PoisonError::into_inner),
            api: self,
        }
    }

    fn route(&self, request: &ApiRequest) -> Result<Value, ApiError> {
        let parts: Vec<&str> = request.path.split('/').collect();
        if parts == ["openapi.json"] {
            return serde_json::from_str(OPENAPI).map_err(|_| ApiError::Internal);
        }
        let view = self.snapshot();
        if parts == ["network"] {
            return network::network(&view, request);
        }
        if !network::is_caught_up(&view) {
            return Err(ApiError::NotReady);
        }
        match parts.as_slice() {
            ["config"] => config::config(&view, request),
            ["offers", rest @ ..] => offers::route(&view, request, rest),
            ["providers", rest @ ..] => market::providers(&view, request, rest),
            ["devices", rest @ ..] => market::devices(&view, request, rest),
            ["rentals", rest @ ..] => rentals::route(&view, request, rest),
            ["cases", rest @ ..] => rentals::cases(&view, request, rest),
            ["challenges", rest @ ..] => work::route(&view, request, rest),
            ["messages", rest @ ..] => bridge::route(&view, request, rest),
            ["stakes", rest @ ..] => stakes::route(&view, request, rest),
            ["slashes"] => stakes::slashes(&view, request),
            ["accounts", rest @ ..] => stakes::accounts(&view, request, rest),
            ["proposals", rest @ ..] => governance::route(&view, request, rest),
            ["distribution"] => token::distribution(&view, request),
            ["allocations", rest @ ..] => token::allocations(&view, request, rest),
            _ => Err(ApiError::NoPath),
        }
    }
}

impl Backend for MarketApi {
    fn answer(&self, request: &ApiRequest) -> Result<Value, ApiError> {
        self.route(request)
    }

    fn events(&self, request: &ApiRequest, last_event_id: Option<&str>) -> Result<BoxStream<'static, SseMessage>, ApiError> {
        stream::events(self, request, last_event_id)
    }
}
