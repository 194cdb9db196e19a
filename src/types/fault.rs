//! What an operator sees when something goes wrong: a stable code, a cause, a next step.

/// An error that may reach an operator's terminal.
///
/// `Display` gives the cause in one line. Codes are stable: documentation and alerts refer to them.
pub trait Coded: std::error::Error + Send + Sync + 'static {
    /// `E-<AREA>-<NUMBER>`.
    fn code(&self) -> &'static str;
    /// What the reader can do about it, as one imperative sentence.
    fn next_step(&self) -> String;
}
