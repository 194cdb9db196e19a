//! Supervised loops: the only place where rules meet adapters.

pub mod follower;
pub mod records;
pub mod sender;
