//! A command of the renter on one channel.

use std::sync::Arc;

use russh::{
    Channel, ChannelId, Sig,
    server::{Handle, Msg},
};
use tokio::sync::broadcast;

use super::inbox::{Event, Inbox};
use crate::{
    sandbox::{Agent, GuestInput, GuestOutput, SandboxError},
    types::agent::{Exec, Exit, Frame},
};

/// Extended data of this kind is standard error (RFC 4254 section 5.2).
const STDERR: u32 = 1;
/// What shells answer for a command that cannot be started.
const CANNOT_START: u32 = 126;
/// Longest notice.
const MAX_NOTICE_CHARS: usize = 500;

/// The sending half of a channel. Its calls wait while the renter's window is used up.
pub(super) struct Outlet {
    half: russh::ChannelWriteHalf<Msg>,
    handle: Handle,
}

/// The renter is gone.
#[derive(Debug)]
pub(super) struct Gone;

impl Outlet {
    /// What arrives comes through [`Inbox`], so the library's own queue is closed at once.
    pub(super) fn new(channel: Channel<Msg>, handle: Handle) -> Self {
        Self { half: channel.split().1, handle }
    }

    pub(super) fn id(&self) -> ChannelId {
        self.half.id()
    }

    pub(super) async fn stdout(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        self.half.data_bytes(bytes).await.map_err(|_| Gone)
    }

    pub(super) async fn stderr(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        self.half.extended_data_bytes(STDERR, bytes).await.map_err(|_| Gone)
    }

    pub(super) async fn eof(&self) -> Result<(), Gone> {
        self.half.eof().await.map_err(|_| Gone)
    }

    pub(super) async fn close(&self) -> Result<(), Gone> {
        self.half.close().await.map_err(|_| Gone)
    }

    /// Last words of a session: how it ended, no more output, closed.
    pub(super) async fn finish(&self, exit: Exit) -> Result<(), Gone> {
        match exit {
            Exit::Code(code) => self.half.exit_status(u32::from(code)).await.map_err(|_| Gone)?,
            Exit::Signal { number, core_dumped } => {
                let signal = signal_name(number);
                self.handle.exit_signal_request(self.id(), signal, core_dumped, String::new(), String::new()).await.map_err(|()| Gone)?;
            }
        }
        self.eof().await?;
        self.close().await
    }

    /// Says why nothing runs.
    pub(super) async fn fail(&self, error: &SandboxError) -> Result<(), Gone> {
        self.stderr(format!("gpumkt: {error}\r\n").into_bytes()).await?;
        self.half.exit_status(CANNOT_START).await.map_err(|_| Gone)?;
        self.eof().await?;
        self.close().await
    }
}

pub(super) struct Command {
    pub agent: Agent,
    pub exec: Exec,
    pub inbox: Arc<Inbox>,
    pub outlet: Outlet,
    /// For terminals only: what a program reads must be what the command wrote.
    pub notices: Option<broadcast::Receiver<String>>,
}

impl Command {
    pub(super) async fn run(self) {
        let Self { agent, exec, inbox, outlet, notices } = self;
        let ended = match agent.exec(exec).await {
            Ok(process) => {
                let (input, output) = process.split();
                let exit = tokio::select! {
                    exit = show(output, &outlet, notices) => exit,
                    never = feed(input, &inbox) => match never {},
                };
                match exit {
                    Ok(Ok(exit)) => outlet.finish(exit).await,
                    Ok(Err(error)) => outlet.fail(&error).await,
                    Err(gone) => Err(gone),
                }
            }
            Err(error) => outlet.fail(&error).await,
        };
        inbox.close();
        if ended.is_err() {
            tracing::debug!(channel = ?outlet.id(), "the renter left before its command ended");
        }
    }
}

/// Hands over what arrives. Never returns: the command may go on without its input, and dropping the input would hang it up.
async fn feed(mut input: GuestInput, inbox: &Inbox) -> std::convert::Infallible {
    loop {
        let given = match inbox.next().await {
            Event::Data(bytes) => input.write(&bytes).await,
            Event::Resize(size) => input.resize(size).await,
            Event::Signal(number) => input.signal(number).await,
            Event::End => input.end().await,
        };
        if given.is_err() {
            inbox.close();
        }
    }
}

/// Sends what the command prints, and how it ended.
async fn show(
    mut output: GuestOutput,
    outlet: &Outlet,
    mut notices: Option<broadcast::Receiver<String>>,
) -> Result<Result<Exit, SandboxError>, Gone> {
    loop {
        tokio::select! {
            frame = output.next() => match frame {
                Ok(Frame::Stdout(bytes)) => outlet.stdout(bytes).await?,
                Ok(Frame::Stderr(bytes)) => outlet.stderr(bytes).await?,
                Ok(Frame::Exited(exit)) => return Ok(Ok(exit)),
                Ok(_) => {}
                Err(error) => return Ok(Err(error)),
            },
            notice = next_notice(&mut notices) => outlet.stderr(notice.into_bytes()).await?,
        }
    }
}

async fn next_notice(notices: &mut Option<broadcast::Receiver<String>>) -> String {
    while let Some(receiver) = notices {
        match receiver.recv().await {
            Ok(text) => {
                let text: String = text.chars().filter(|character| !character.is_control()).take(MAX_NOTICE_CHARS).collect();
                return format!("\r\n[gpumkt] {text}\r\n");
            }
            // Only the newest notices are of use.
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => *notices = None,
        }
    }
    std::future::pending().await
}

/// Signals by the names of RFC 4254 section 6.10 and those that OpenSSH adds.
const SIGNALS: &[(&str, u8)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("SYS", 31),
];

pub(super) fn signal_number(signal: &Sig) -> Option<u8> {
    let name = match signal {
        Sig::Custom(name) => name.trim_start_matches("SIG").to_string(),
        known => format!("{known:?}"),
    };
    SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

fn signal_name(number: u8) -> Sig {
    match number {
        1 => Sig::HUP,
        2 => Sig::INT,
        3 => Sig::QUIT,
        4 => Sig::ILL,
        6 => Sig::ABRT,
        8 => Sig::FPE,
        9 => Sig::KILL,
        10 => Sig::USR1,
        11 => Sig::SEGV,
        13 => Sig::PIPE,
        14 => Sig::ALRM,
        15 => Sig::TERM,
        other => {
            let name = SIGNALS.iter().find(|(_, number)| *number == other).map_or_else(|| format!("RT{other}"), |(name, _)| (*name).into());
            Sig::Custom(name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_the_numbers_of_linux() {
        assert_eq!(signal_number(&Sig::TERM), Some(15));
        assert_eq!(signal_number(&Sig::Custom("USR2".into())), Some(12));
        assert_eq!(signal_number(&Sig::Custom("WINDY".into())), None);
        for (_, number) in SIGNALS {
            assert_eq!(signal_number(&signal_name(*number)), Some(*number));
        }
    }
}
