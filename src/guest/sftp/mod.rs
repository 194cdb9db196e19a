//! A server of SFTP version 3 with the extensions that OpenSSH's clients use.
//!
//! It runs as a process of the renter, so what it may not do the kernel refuses; the node parses none of it. It is not a thread of the
//! agent, whose own memory and descriptors a client could name by their paths in /proc.
//! `wire` is the packets, `files` what they do, `listing` the lines of a directory.

mod files;
mod listing;
mod wire;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};

use self::files::Files;
use self::wire::{Failure, Fields, Packet, reply, request};
use super::agent::{Exec, PROGRAM};
use super::command;

const VERSION: u32 = 3;
/// Extensions of OpenSSH's PROTOCOL file, with their versions.
const EXTENSIONS: [(&str, &str); 8] = [
    ("posix-rename@openssh.com", "1"),
    ("statvfs@openssh.com", "2"),
    ("fstatvfs@openssh.com", "2"),
    ("hardlink@openssh.com", "1"),
    ("fsync@openssh.com", "1"),
    ("lsetstat@openssh.com", "1"),
    ("limits@openssh.com", "1"),
    ("expand-path@openssh.com", "1"),
];

/// The command whose standard input and output are the node's connection.
pub fn command(node: &UnixStream) -> io::Result<Command> {
    let exec = Exec { argv: vec![PROGRAM.into(), b"sftp".to_vec()], ..Exec::default() };
    let mut command = command::prepare(&exec)?;
    command.stdin(OwnedFd::from(node.try_clone()?)).stdout(OwnedFd::from(node.try_clone()?)).stderr(Stdio::null());
    Ok(command)
}

/// What the command does.
pub fn run() -> ExitCode {
    // Not std's own handles: those look for lines.
    let copy = |fd: BorrowedFd| fd.try_clone_to_owned().map(File::from);
    let channel = copy(io::stdin().as_fd()).and_then(|input| Ok((input, copy(io::stdout().as_fd())?)));
    match channel.and_then(|(mut input, mut output)| serve(&mut input, &mut output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Serves one client until it leaves. What is no packet at all ends the connection.
fn serve(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    match wire::read_packet(input)? {
        Some((request::INIT, content)) if content.len() >= 4 => {}
        _ => return Err(io::ErrorKind::InvalidData.into()),
    }
    // In this packet alone, the version stands where others have their id.
    let mut greeting = Packet::new(reply::VERSION, VERSION);
    for (name, version) in EXTENSIONS {
        greeting.string(name.as_bytes());
        greeting.string(version.as_bytes());
    }
    output.write_all(&greeting.finish())?;
    let mut files = Files::default();
    while let Some((kind, content)) = wire::read_packet(input)? {
        let mut fields = Fields(&content);
        let Ok(id) = fields.u32() else { return Err(io::ErrorKind::InvalidData.into()) };
        let answer = answer(&mut files, kind, id, &mut fields).unwrap_or_else(|failure| {
            let (code, text) = failure.status();
            status(id, code, &text)
        });
        output.write_all(&answer.finish())?;
    }
    Ok(())
}

fn status(id: u32, code: u32, text: &str) -> Packet {
    let mut packet = Packet::new(reply::STATUS, id);
    packet.u32(code);
    packet.string(text.as_bytes());
    // Language.
    packet.string(b"");
    packet
}

fn answer(files: &mut Files, kind: u8, id: u32, fields: &mut Fields) -> Result<Packet, Failure> {
    match kind {
        request::OPEN => {
            let (path, flags, attributes) = (fields.string()?, fields.u32()?, fields.attributes()?);
            handle(id, files.open(path, flags, &attributes)?)
        }
        request::OPENDIR => handle(id, files.open_folder(fields.string()?)?),
        request::READ => {
            let data = files.read(fields.string()?, fields.u64()?, fields.u32()?)?;
            let mut packet = Packet::new(reply::DATA, id);
            packet.string(&data);
            Ok(packet)
        }
        request::READDIR => names(id, &files.list(fields.string()?)?),
        request::REALPATH => names(id, &[files::real_path(fields.string()?)?]),
        request::READLINK => names(id, &[files::read_link(fields.string()?)?]),
        request::STAT | request::LSTAT => attributes(id, &files::stat(fields.string()?, kind == request::STAT)?),
        request::FSTAT => attributes(id, &files.stat(fields.string()?)?),
        request::EXTENDED => {
            let name = fields.string()?;
            extended(files, name, id, fields)
        }
        _ => change(files, kind, fields).map(|()| status(id, 0, "done")),
    }
}

/// Requests that are answered with nothing but their success.
fn change(files: &mut Files, kind: u8, fields: &mut Fields) -> Result<(), Failure> {
    match kind {
        request::CLOSE => files.close(fields.string()?),
        request::WRITE => files.write(fields.string()?, fields.u64()?, fields.string()?),
        request::SETSTAT => files::set(fields.string()?, &fields.attributes()?, true),
        request::FSETSTAT => files.set(fields.string()?, &fields.attributes()?),
        request::REMOVE => files::remove(fields.string()?),
        request::MKDIR => files::make_folder(fields.string()?, &fields.attributes()?),
        request::RMDIR => files::remove_folder(fields.string()?),
        request::RENAME => files::rename(fields.string()?, fields.string()?),
        // OpenSSH has the target first, other than the draft, and everybody follows OpenSSH.
        request::SYMLINK => files::link(fields.string()?, fields.string()?),
        _ => Err(Failure::Unsupported),
    }
}

fn extended(files: &mut Files, name: &[u8], id: u32, fields: &mut Fields) -> Result<Packet, Failure> {
    let done = match name {
        b"posix-rename@openssh.com" => files::replace(fields.string()?, fields.string()?),
        b"hardlink@openssh.com" => files::hard_link(fields.string()?, fields.string()?),
        b"fsync@openssh.com" => files.sync(fields.string()?),
        b"lsetstat@openssh.com" => files::set(fields.string()?, &fields.attributes()?, false),
        b"statvfs@openssh.com" => return Ok(numbers(id, &files::file_system(fields.string()?)?)),
        b"fstatvfs@openssh.com" => return Ok(numbers(id, &files.file_system(fields.string()?)?)),
        b"limits@openssh.com" => return Ok(numbers(id, &files::limits())),
        b"expand-path@openssh.com" => return names(id, &[files::expand(fields.string()?)?]),
        _ => Err(Failure::Unsupported),
    };
    done.map(|()| status(id, 0, "done"))
}

fn handle(id: u32, handle: [u8; 4]) -> Result<Packet, Failure> {
    let mut packet = Packet::new(reply::HANDLE, id);
    packet.string(&handle);
    Ok(packet)
}

fn attributes(id: u32, attributes: &wire::Attributes) -> Result<Packet, Failure> {
    let mut packet = Packet::new(reply::ATTRS, id);
    packet.attributes(attributes);
    Ok(packet)
}

fn names(id: u32, entries: &[files::Entry]) -> Result<Packet, Failure> {
    let mut packet = Packet::new(reply::NAME, id);
    packet.u32(entries.len() as u32);
    for entry in entries {
        packet.string(&entry.name);
        packet.string(&entry.line);
        packet.attributes(&entry.attributes);
    }
    Ok(packet)
}

fn numbers(id: u32, numbers: &[u64]) -> Packet {
    let mut packet = Packet::new(reply::EXTENDED, id);
    numbers.iter().for_each(|number| packet.u64(*number));
    packet
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Sends bytes to a server and returns what it answers until it hangs up.
    fn exchange(bytes: &[u8]) -> (Vec<u8>, io::Result<()>) {
        let (mut client, mut server) = UnixStream::pair().unwrap();
        let served = thread::spawn(move || serve(&mut server.try_clone().unwrap(), &mut server));
        client.write_all(bytes).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answers = Vec::new();
        // A server that hangs up with input unread shows as an error after what it sent.
        let _ = client.read_to_end(&mut answers);
        (answers, served.join().unwrap())
    }

    fn packet(kind: u8, content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 1).to_be_bytes()[..], &[kind], content].concat()
    }

    fn init() -> Vec<u8> {
        packet(request::INIT, &[0, 0, 0, 3])
    }

    /// The codes of all status answers after the greeting.
    fn codes(requests: &[Vec<u8>]) -> Vec<u32> {
        let (answers, served) = exchange(&[init(), requests.concat()].concat());
        served.unwrap();
        let mut rest = answers.as_slice();
        let mut codes = Vec::new();
        while let Some((kind, content)) = wire::read_packet(&mut rest).unwrap() {
            if kind == reply::STATUS {
                codes.push(u32::from_be_bytes(content[4..8].try_into().unwrap()));
            }
        }
        codes
    }

    #[test]
    fn what_is_no_packet_ends_the_connection() {
        for bytes in [
            vec![],
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            vec![0, 0, 0, 0, 1],
            vec![255, 255, 255, 255, 1],
            packet(request::INIT, &[0, 0]),
            packet(request::STAT, &[0, 0, 0, 1]),
            [init(), vec![0, 0, 0, 0]].concat(),
            [init(), packet(request::STAT, &[0])].concat(),
            [init(), vec![0, 4, 0, 1, request::STAT]].concat(),
        ] {
            assert!(exchange(&bytes).1.is_err(), "{bytes:?}");
        }
        assert!(exchange(&init()).1.is_ok());
    }

    #[test]
    fn malformed_requests_cost_only_themselves() {
        let id = [0, 0, 0, 1];
        let with = |kind: u8, content: &[u8]| packet(kind, &[&id, content].concat());
        let bad = [
            with(request::STAT, &[0, 0, 0, 9, b'x']),
            with(request::STAT, &[0xff, 0xff, 0xff, 0xff]),
            with(request::STAT, &[0, 0, 0, 2, b'x', 0]),
            with(request::READ, &[0, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            with(request::OPEN, &[0, 0, 0, 1, b'x', 0, 0, 0, 0, 0, 0, 0, 0]),
            // A count of extended attributes that is a lie.
            with(request::SETSTAT, &[0, 0, 0, 1, b'x', 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
        ];
        assert_eq!(codes(&bad), [5; 6]);
        assert_eq!(
            codes(&[with(99, &[]), with(request::EXTENDED, &[0, 0, 0, 1, b'x']), with(request::CLOSE, &[0, 0, 0, 4, 0, 0, 0, 9])]),
            [8, 8, 2]
        );
    }

    #[test]
    fn handles_are_bounded() {
        let folder = [&[0, 0, 0, 1][..], &[0, 0, 0, 1, b'/']].concat();
        let opens = vec![packet(request::OPENDIR, &folder); 300];
        assert_eq!(codes(&opens), [4; 300 - 256]);
    }
}
