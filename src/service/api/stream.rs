//! Server-sent events of all that the index takes in.
//!
//! The id of an event is how far the stream is on both chains, with a part of each last log's block hash. That is all that a stream
//! needs to go on, at any node and after any restart; where the chain has changed below it, the reader is told to load again.

use std::collections::VecDeque;

use alloy::primitives::Address;
use futures::{StreamExt, stream::BoxStream};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{MarketApi, events::event, json::int, params::Params};
use crate::{
    service::indexer::{Position, StoredLog},
    store::StoreError,
    types::{
        ChainKind,
        api::{ApiError, ApiRequest, SseMessage},
    },
};

/// Logs read at a time.
const STEP: usize = 256;
/// Positions that are remembered to find where a reorganisation began; deeper ones have the reader load again.
const REMEMBERED: usize = 512;
/// Logs that a reader may be behind; beyond that it is quicker to load again.
const MAX_BEHIND: usize = 20_000;
const MAX_ID: usize = 120;

/// A log that was told, with the first bytes of its block's hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    position: Position,
    hash: [u8; 4],
}

impl Mark {
    fn of(stored: &StoredLog) -> Self {
        let mut hash = [0; 4];
        hash.copy_from_slice(&stored.log.block_hash[..4]);
        Self { position: stored.position(), hash }
    }

    fn text(&self) -> String {
        format!("{}.{}.{}", self.position.0, self.position.1, alloy::hex::encode(self.hash))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let position = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let hash = alloy::hex::decode(parts.next()?).ok()?.try_into().ok()?;
        parts.next().is_none().then_some(Self { position, hash })
    }
}

/// Who wants to hear what.
#[derive(Default)]
struct Filter {
    rental: Option<u64>,
    account: Option<Address>,
}

impl Filter {
    fn wants(&self, event: &Value) -> bool {
        let is = |name: &str, wanted: &str| event.get(name).and_then(Value::as_str) == Some(wanted);
        self.rental.is_none_or(|rental| is("rental", &rental.to_string()))
            && self.account.is_none_or(|account| {
                let account = format!("{account:#x}");
                is("account", &account) || is("provider", &account)
            })
    }
}

struct Stream {
    api: MarketApi,
    filter: Filter,
    /// What was told of each chain, newest last.
    told: [VecDeque<Mark>; 2],
    generations: [u64; 2],
    heads: [u64; 2],
    behind: usize,
    changed: watch::Receiver<u64>,
    waiting: VecDeque<SseMessage>,
}

/// Opens a stream.
pub fn events(api: &MarketApi, request: &ApiRequest, header: Option<&str>) -> Result<BoxStream<'static, SseMessage>, ApiError> {
    let params = Params::new(request, &["rental", "account", "last_event_id"])?;
    let filter = Filter { rental: params.number("rental")?, account: params.address("account")? };
    let last = header.or(params.string("last_event_id", MAX_ID)?);
    if !super::network::is_caught_up(&api.snapshot()) {
        return Err(ApiError::NotReady);
    }
    let mut stream = Stream {
        api: api.clone(),
        filter,
        told: Default::default(),
        generations: [0; 2],
        heads: [0; 2],
        behind: 0,
        changed: api.index.changed(),
        waiting: VecDeque::new(),
    };
    stream.changed.mark_changed();
    stream.start(last).map_err(|_| ApiError::Internal)?;
    Ok(futures::stream::unfold(stream, |mut stream| async move { stream.next().await.map(|message| (message, stream)) }).boxed())
}

impl Stream {
    fn start(&mut self, last: Option<&str>) -> Result<(), StoreError> {
        self.jump()?;
        let Some(last) = last else { return Ok(()) };
        let marks = last.split_once('-').and_then(|(eth, etc)| Some([Mark::parse(eth)?, Mark::parse(etc)?]));
        let Some(marks) = marks.filter(|_| last.len() <= MAX_ID) else {
            self.reset("unknown_id");
            return Ok(());
        };
        for kind in ChainKind::BOTH {
            if !self.stands(kind, marks[kind as usize])? {
                self.reset("reorganised");
                return Ok(());
            }
        }
        self.told = marks.map(|mark| VecDeque::from([mark]));
        Ok(())
    }

    /// To what comes next.
    fn jump(&mut self) -> Result<(), StoreError> {
        for kind in ChainKind::BOTH {
            let (last, generation) = {
                let view = self.api.index.view(kind);
                (view.last, view.generation)
            };
            let newest = last.map(|position| self.api.index.log(kind, position)).transpose()?.flatten();
            self.told[kind as usize] = VecDeque::from([newest.as_ref().map(Mark::of).unwrap_or_default()]);
            self.generations[kind as usize] = generation;
        }
        self.behind = 0;
        Ok(())
    }

    /// Whether the log is there as it was told.
    fn stands(&self, kind: ChainKind, mark: Mark) -> Result<bool, StoreError> {
        if mark == Mark::default() {
            return Ok(true);
        }
        let found = self.api.index.log(kind, mark.position)?;
        Ok(found.is_some_and(|stored| Mark::of(&stored) == mark))
    }

    fn id(&self) -> String {
        let [eth, etc] = ChainKind::BOTH.map(|kind| self.told[kind as usize].back().copied().unwrap_or_default().text());
        format!("{eth}-{etc}")
    }

    fn push(&mut self, kind: &'static str, data: Value) {
        let message = SseMessage { id: Some(self.id()), kind, data: data.to_string() };
        self.waiting.push_back(message);
    }

    fn reset(&mut self, reason: &'static str) {
        self.push("reset", json!({ "reason": reason }));
    }

    async fn next(&mut self) -> Option<SseMessage> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(message);
            }
            match self.fill() {
                // More is there already.
                Ok(true) => continue,
                Ok(false) => {}
                // The reader comes back with the last id it saw.
                Err(_) => return None,
            }
            if self.waiting.is_empty() {
                self.changed.changed().await.ok()?;
            }
        }
    }

    /// Takes what the index has; `true` when there may be more.
    fn fill(&mut self) -> Result<bool, StoreError> {
        self.changed.mark_unchanged();
        for kind in ChainKind::BOTH {
            self.check_branch(kind)?;
        }
        let mut found: Vec<(ChainKind, StoredLog)> = Vec::new();
        let mut has_more = false;
        for kind in ChainKind::BOTH {
            let after = self.told[kind as usize].back().copied().unwrap_or_default().position;
            let logs = self.api.index.logs_after(kind, after, STEP)?;
            has_more |= logs.len() == STEP;
            found.extend(logs.into_iter().map(|stored| (kind, stored)));
        }
        found.sort_by_key(|(kind, stored)| (stored.timestamp, *kind, stored.position()));
        self.behind = if has_more { self.behind + found.len() } else { 0 };
        if self.behind > MAX_BEHIND {
            self.jump()?;
            self.reset("too_far_behind");
            return Ok(false);
        }
        for (kind, stored) in &found {
            self.tell(*kind, stored);
        }
        if !has_more {
            self.tell_heads();
        }
        Ok(has_more)
    }

    fn tell(&mut self, kind: ChainKind, stored: &StoredLog) {
        let told = &mut self.told[kind as usize];
        if told.len() == REMEMBERED {
            told.pop_front();
        }
        told.push_back(Mark::of(stored));
        let event = {
            let view = self.api.snapshot();
            event(&view, kind, stored)
        };
        if let Some((name, event)) = event.filter(|(_, event)| self.filter.wants(event)) {
            self.push(name, event);
        }
    }

    fn tell_heads(&mut self) {
        for kind in ChainKind::BOTH {
            let head = self.api.index.view(kind).head;
            if std::mem::replace(&mut self.heads[kind as usize], head.number) != head.number {
                self.push("head", json!({ "chain": kind.name(), "block": int(head.number), "timestamp": int(head.timestamp) }));
            }
        }
    }

    /// After a fold from the beginning: goes back to the newest log that is still there.
    fn check_branch(&mut self, kind: ChainKind) -> Result<(), StoreError> {
        let generation = self.api.index.view(kind).generation;
        if std::mem::replace(&mut self.generations[kind as usize], generation) == generation {
            return Ok(());
        }
        let mut is_changed = false;
        while let Some(mark) = self.told[kind as usize].back().copied() {
            if self.stands(kind, mark)? {
                break;
            }
            is_changed = true;
            self.told[kind as usize].pop_back();
        }
        if self.told[kind as usize].is_empty() {
            self.jump()?;
            self.reset("reorganised");
        } else if is_changed {
            let to_block = self.told[kind as usize].back().map_or(0, |mark| mark.position.0);
            self.push("reorg", json!({ "chain": kind.name(), "to_block": int(to_block) }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_they_were_written() {
        let mark = Mark { position: (u64::MAX, 7), hash: [1, 2, 0xab, 0] };
        assert_eq!(Mark::parse(&mark.text()), Some(mark));
        for wrong in ["", "1", "1.2", "1.2.zz", "1.2.0102", "1.2.01020304.5", "-1.2.01020304", "99999999999999999999.0.01020304"] {
            assert_eq!(Mark::parse(wrong), None, "{wrong}");
        }
    }
}
