//! Serves one connection, from the node's `Open` on.

use std::io;
use std::os::unix::net::UnixStream;

use super::agent::{AgentError, Answer, Exec, Message, Open};
use super::children::Children;
use super::command;
use super::logs::StartCommand;
use super::{pump, session, sftp, sys};

/// What channels share.
#[derive(Clone)]
pub struct Services {
    pub children: Children,
    pub start: StartCommand,
}

impl Services {
    /// Serves until either side is done. An error costs only this connection.
    pub fn serve(&self, mut node: UnixStream, open: Open) -> Result<(), AgentError> {
        match open {
            Open::Exec(exec) => self.exec(node, &exec),
            Open::Connect { port } => match answer(&mut node, pump::connect(port))? {
                Some(stream) => Ok(pump::join(&node, &stream)?),
                None => Ok(()),
            },
            Open::Sftp => {
                let started = sftp::command(&node).and_then(|mut command| self.children.spawn(&mut command));
                answer(&mut node, started).map(drop)
            }
            Open::Logs { follow } => {
                answer(&mut node, Ok(()))?;
                Ok(self.start.send(&mut node, follow)?)
            }
            Open::Start(exec) => {
                let started = self.start.run(&self.children, &exec);
                answer(&mut node, started).map(drop)
            }
            Open::Ping => answer(&mut node, Ok(())).map(drop),
        }
    }

    fn exec(&self, mut node: UnixStream, exec: &Exec) -> Result<(), AgentError> {
        match answer(&mut node, command::start(&self.children, exec))? {
            Some(running) => Ok(session::run(node, running)?),
            None => Ok(()),
        }
    }
}

/// Tells the node how it went; `None` after a refusal.
fn answer<T>(node: &mut UnixStream, outcome: io::Result<T>) -> Result<Option<T>, AgentError> {
    match outcome {
        Ok(value) => {
            Answer::Opened.write(node)?;
            Ok(Some(value))
        }
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(if error.kind() == io::ErrorKind::InvalidInput { sys::EINVAL } else { 0 });
            Answer::Refused { errno, reason: error.to_string() }.write(node)?;
            Ok(None)
        }
    }
}
