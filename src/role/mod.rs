//! What each tier runs: lists of services and the channels between them. No decisions here.

mod king;
mod node;
mod provider;
mod queen;
mod relay;

pub use king::run_king;
pub use node::{Node, RoleError};
pub use provider::run_provider;
pub use queen::run_queen;
pub use relay::run_relay;
