//! What each tier runs: lists of services and the channels between them. No decisions here.

mod api;
mod bridge;
mod containers;
mod dry_run;
mod error;
mod king;
mod machine;
mod node;
mod provider;
mod queen;
mod relay;
mod run;
mod startup;
mod watch;

pub use dry_run::{Check, dry_run_provider, examine_machine};
pub use error::RoleError;
pub use king::run_king;
pub use node::Node;
pub use provider::run_provider;
pub use queen::run_queen;
pub use relay::run_relay;
