//! What Kings and relays have in common: what they hear of Kings, and whom they bring to court.

use super::Node;
use crate::{
    rules::quorum::KingSet,
    service::{
        checkpoints::CheckpointBook, council::book::StatementBook, docket::Docket, kings::KingSets, prosecutor::Prosecutor,
        router::Handlers, sender::Sender,
    },
    store::Store,
    types::AddressBook,
};

/// What is heard of Kings, from the set that the address book names.
pub(super) fn books(kings: KingSet, book: &AddressBook, store: &Store) -> (CheckpointBook, StatementBook, Docket) {
    let (kings, docket) = (KingSets::new(kings), Docket::new(store.clone()));
    let statements = StatementBook::new(kings.clone(), book.clone());
    (CheckpointBook::new(kings, book.clone()).with_docket(docket.clone()), statements, docket)
}

impl Node {
    /// Whoever listens to Kings can bring one to court.
    pub fn add_prosecutor(&mut self, sender: Sender) {
        self.supervisor.add(Prosecutor {
            chain: self.ethereum.clone(),
            ethereum_index: self.ethereum_index.clone(),
            classic_index: self.classic_index.clone(),
            book: self.book.clone(),
            checkpoints: self.checkpoints.clone(),
            docket: self.docket.clone(),
            sender,
            alerts: self.alerts.clone(),
            metrics: self.metrics.clone(),
            state: Default::default(),
        });
    }

    /// What a node that listens to Kings answers for.
    pub fn bridge_handlers(&self) -> Handlers {
        Handlers { checkpoints: Some(self.checkpoints.clone()), statements: Some(self.statements.clone()), ..Handlers::default() }
    }
}
