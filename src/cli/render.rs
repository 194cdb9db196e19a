//! How results and errors look on a terminal.

use std::{fmt, io::Write};

use serde::Serialize;

use crate::types::Coded;

/// Any coded error, boxed at the edge of the program.
pub struct OperatorError(Box<dyn Coded>);

impl<E: Coded> From<E> for OperatorError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl OperatorError {
    pub fn from_box(error: Box<dyn Coded>) -> Self {
        Self(error)
    }
}

impl fmt::Debug for OperatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code(), self.0)
    }
}

/// One line with code and cause, one with the next step.
pub fn error(error: &OperatorError, json: bool) {
    if json {
        let value = serde_json::json!({
            "error": { "code": error.0.code(), "cause": error.0.to_string(), "next_step": error.0.next_step() }
        });
        eprintln!("{value}");
    } else {
        eprintln!("{}", text_of(error.0.code(), &error.0.to_string(), &error.0.next_step()));
    }
}

/// What others say must not steer the reader's terminal: control characters are replaced.
pub fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// Unix seconds as a local date; machines get the number itself.
pub fn when(unix_seconds: u64) -> String {
    let utc = i64::try_from(unix_seconds).ok().and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0));
    utc.map_or_else(|| unix_seconds.to_string(), |utc| utc.with_timezone(&chrono::Local).format("%Y-%m-%d %H:%M:%S %:z").to_string())
}

/// Seconds in the two largest units that they fill.
pub fn duration(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(units.len() - 1);
    let mut text = format!("{} {}", seconds / units[first].0, units[first].1);
    if let Some((size, unit)) = units.get(first + 1).filter(|(size, _)| seconds % units[first].0 >= *size) {
        text.push_str(&format!(" {} {unit}", seconds % units[first].0 / size));
    }
    text
}

/// The cause's first line beside the code; what follows it, such as a compiler's messages, indented below.
fn text_of(code: &str, cause: &str, next_step: &str) -> String {
    let mut lines = cause.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let mut text = format!("error[{code}]: {}", printable(lines.next().unwrap_or_default()));
    for line in lines {
        text.push_str("\n    ");
        text.push_str(&printable(line));
    }
    let next_step = next_step.split_whitespace().collect::<Vec<_>>().join(" ");
    text.push_str("\n  next: ");
    text.push_str(&next_step);
    text
}

/// Prints a line on standard output. Whoever closed it early, such as `head`, wants no more of it: that is no error.
pub fn line(text: impl fmt::Display) {
    let mut stdout = std::io::stdout().lock();
    if writeln!(stdout, "{text}").and_then(|()| stdout.flush()).is_err() {
        tracing::debug!("standard output is closed");
    }
}

/// Prints `value` as JSON, or `text` for people.
pub fn output<T: Serialize>(json: bool, value: &T, text: impl FnOnce(&T) -> String) {
    if json {
        match serde_json::to_string_pretty(value) {
            Ok(json) => line(json),
            Err(error) => eprintln!("error: the result cannot be shown as JSON: {error}"),
        }
    } else {
        line(text(value));
    }
}

/// A plain table without borders that fits any terminal.
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(header.to_vec());
    table.add_rows(rows);
    table.lines().map(|line| line.trim_end().to_string()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_for_people() {
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_320, "2 h 2 min"), (86_400 + 59, "1 d"), (90_000, "1 d 1 h")] {
            assert_eq!(duration(seconds), text);
        }
        let shown = when(1_790_000_000);
        assert!(shown.starts_with("2026-09-2") && shown.contains(':'), "{shown}");
        assert_eq!(when(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn a_long_cause_goes_below_its_first_line() {
        let text = text_of("E-X-001", "it does not compile:\n\nline 1\n  line 2\n", "correct\nthe source");
        assert_eq!(text, "error[E-X-001]: it does not compile:\n    line 1\n      line 2\n  next: correct the source");
    }
}
