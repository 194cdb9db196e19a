//! What packages ship beside the program, made from the command line's own grammar: completions and manual pages.

use std::{fs, io::Write, path::Path};

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use serde_json::json;

use super::{args::Cli, commands::Outcome, render::output};
use crate::client::ClientError;

pub(super) fn completions(shell: clap_complete::Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gpumkt", &mut script);
    // A reader that has enough is no error.
    let _ = std::io::stdout().write_all(&script);
}

/// A page per command: gpumkt.1, gpumkt-rent.1, gpumkt-keys-new.1, …
pub(super) fn pages(folder: &Path, json: bool) -> Outcome {
    fs::create_dir_all(folder).map_err(|source| ClientError::File { path: folder.into(), source })?;
    let mut command = Cli::command();
    command.build();
    let mut written = Vec::new();
    page(command, folder, &mut written)?;
    output(json, &json!({ "pages": written }), |_| format!("{} pages in {}", written.len(), folder.display()));
    Ok(())
}

fn page(command: Command, folder: &Path, written: &mut Vec<String>) -> Result<(), ClientError> {
    let children: Vec<Command> =
        command.get_subcommands().filter(|child| !child.is_hide_set() && child.get_name() != "help").cloned().collect();
    // The whole path, `gpumkt keys new`, as the name of the page.
    let name = command.get_bin_name().unwrap_or(command.get_name()).replace(' ', "-");
    let path = folder.join(format!("{name}.1"));
    let mut text = Vec::new();
    let rendered = Man::new(command).title(name.clone()).render(&mut text);
    rendered.and_then(|()| fs::write(&path, text)).map_err(|source| ClientError::File { path: path.clone(), source })?;
    written.push(format!("{name}.1"));
    children.into_iter().try_for_each(|child| page(child, folder, written))
}
