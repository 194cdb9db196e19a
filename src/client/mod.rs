//! One-shot operations as typed asynchronous functions; shared by the command line, the devnet and the tests.

pub mod deploy;
