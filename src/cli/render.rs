//! How results and errors look on a terminal.

use std::fmt;

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
        eprintln!("error[{}]: {}", error.0.code(), error.0);
        eprintln!("  next: {}", error.0.next_step());
    }
}

/// Prints `value` as JSON, or `text` for people.
pub fn output<T: Serialize>(json: bool, value: &T, text: impl FnOnce(&T) -> String) {
    if json {
        match serde_json::to_string_pretty(value) {
            Ok(json) => println!("{json}"),
            Err(error) => eprintln!("error: the result cannot be shown as JSON: {error}"),
        }
    } else {
        println!("{}", text(value));
    }
}

/// A plain table without borders that fits any terminal.
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(header.to_vec());
    table.add_rows(rows);
    table.lines().map(|line| line.trim_end().to_string()).collect::<Vec<_>>().join("\n")
}
