//! What was thrown at the bridge, and what became of the messages: read from the chains' own logs.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Instant,
};

use alloy::primitives::B256;
use gpumkt::{
    rules::tree::MessageTree,
    types::{
        ChainKind,
        abi::{Inbox, Outbox},
    },
};
use serde_json::json;

use super::world::World;

pub struct Summary {
    began: Instant,
    faults: BTreeMap<String, u32>,
    messages: u64,
    lost: u64,
    doubled: u64,
    stuck: u64,
    forged: u64,
}

impl Default for Summary {
    fn default() -> Self {
        Self { began: Instant::now(), faults: BTreeMap::new(), messages: 0, lost: 0, doubled: 0, stuck: 0, forged: 0 }
    }
}

impl Summary {
    pub fn fault(&mut self, name: impl Into<String>) {
        let name = name.into();
        println!("{:7.1} s  {name}", self.began.elapsed().as_secs_f64());
        *self.faults.entry(name).or_default() += 1;
    }

    /// Compares what was sent with what arrived, each way.
    pub async fn account(&mut self, world: &World) {
        for origin in ChainKind::BOTH {
            let (here, there) = (world.book.bridge(origin), world.book.bridge(origin.other()));
            let mut tree = MessageTree::default();
            let mut sent: BTreeMap<u32, (B256, bool)> = BTreeMap::new();
            for event in world.logs(origin, here.outbox).await.iter().filter_map(|log| log.decode::<Outbox::MessageDispatched>()) {
                let counts = event.recipient == world.counters[origin.other() as usize];
                let refused = event.recipient == world.refusers[origin.other() as usize];
                assert!(counts || refused, "a message that the harness did not send");
                sent.insert(event.index, (event.messageId, counts));
                tree.push(leaf(event.messageId));
            }
            let logs = world.logs(origin.other(), there.inbox).await;
            let delivered: Vec<Inbox::MessageDelivered> = logs.iter().filter_map(|log| log.decode()).collect();
            let distinct: BTreeSet<u32> = delivered.iter().map(|event| event.index).collect();
            let due = sent.values().filter(|(_, counts)| *counts).count() as u64;
            let counted = world.counted(origin.other()).await;
            self.messages += due;
            self.doubled += (delivered.len() - distinct.len()) as u64 + counted.saturating_sub(distinct.len() as u64);
            self.lost += (distinct.len() as u64).saturating_sub(counted);
            self.stuck += sent.iter().filter(|(index, (_, counts))| *counts && !distinct.contains(index)).count() as u64;
            let strangers = delivered.iter().filter(|event| sent.get(&event.index).is_none_or(|(id, _)| *id != event.messageId));
            let roots = logs.iter().filter_map(|log| log.decode::<Inbox::CheckpointAccepted>());
            let wrong = roots.filter(|event| tree.root_at(event.count) != Some(event.root));
            self.forged += strangers.count() as u64 + wrong.count() as u64;
        }
    }

    pub fn write(&self, project: &Path) {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project.join("target"), Into::into);
        let folder = target.join("chaos");
        std::fs::create_dir_all(&folder).unwrap();
        let summary = json!({
            "schema_version": 1,
            "seconds": self.began.elapsed().as_secs(),
            "messages": self.messages,
            "faults": self.faults,
            "lost": self.lost,
            "doubled": self.doubled,
            "stuck": self.stuck,
            "forged": self.forged,
        });
        std::fs::write(folder.join("summary.json"), serde_json::to_string_pretty(&summary).unwrap()).unwrap();
        println!("{summary}");
    }

    pub fn assert(&self) {
        assert!(self.messages > 20 && self.faults.len() > 15, "{} messages, {} kinds of faults", self.messages, self.faults.len());
        self.assert_nothing_wrong();
    }

    pub fn assert_nothing_wrong(&self) {
        assert_eq!((self.lost, self.doubled, self.stuck, self.forged), (0, 0, 0, 0), "lost, doubled, stuck, forged");
    }
}

fn leaf(message_id: B256) -> B256 {
    let mut preimage = [0u8; 33];
    preimage[1..].copy_from_slice(message_id.as_slice());
    alloy::primitives::keccak256(preimage)
}
