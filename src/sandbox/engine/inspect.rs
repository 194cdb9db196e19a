//! What the engine says of one container.
//!
//! Asked for without the client: its model has a closed list of states, and Podman is in others between the end of a process and the
//! cleaning up after it (`stopped`), for good if the cleaning up is killed.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, de::IgnoredAny};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::{
    super::SandboxError,
    cgroup::Groups,
    connect::{ANSWER_S, Connector, Engine, one_line},
};

const ACTION: &str = "look for a container";
/// Largest answer: some kilobytes and what the image has as labels and variables.
const MAX_ANSWER_BYTES: u64 = 8 << 20;

/// The parts of the answer that are used.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Container {
    pub id: String,
    pub state: State,
    config: Config,
    network_settings: Networks,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct State {
    status: String,
    running: bool,
    paused: bool,
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    pid: i64,
    pub exit_code: i32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    labels: Option<HashMap<String, String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Networks {
    networks: Option<HashMap<String, IgnoredAny>>,
}

impl Container {
    pub fn is_paused(&self) -> bool {
        self.state.paused || self.state.status == "paused"
    }

    pub fn is_alive(&self) -> bool {
        self.state.running || self.is_paused() || self.state.status == "stopping"
    }

    /// Made but never started: nothing of the renter has run.
    pub fn is_new(&self) -> bool {
        matches!(self.state.status.as_str(), "created" | "configured" | "initialized")
    }

    pub fn pid(&self) -> Option<u32> {
        u32::try_from(self.state.pid).ok().filter(|pid| *pid > 0)
    }

    pub fn groups(&self) -> Option<Groups> {
        Groups::of(self.pid()?, &self.id)
    }

    pub fn labels(&self) -> HashMap<String, String> {
        self.config.labels.clone().unwrap_or_default()
    }

    pub fn networks(&self) -> Vec<&String> {
        self.network_settings.networks.iter().flat_map(HashMap::keys).collect()
    }
}

/// The container with this name, if there is one. The name is made of letters, digits and hyphens.
pub async fn inspect(connector: &Connector, engine: &Engine, name: &str) -> Result<Option<Container>, SandboxError> {
    let limit = Duration::from_secs(ANSWER_S);
    let answer = tokio::time::timeout(limit, ask(engine, name)).await;
    let answer = answer.unwrap_or_else(|_| Err(std::io::Error::other(format!("no answer within {ANSWER_S} s"))));
    let bytes = answer.map_err(|error| connector.gone(ACTION, error.to_string()))?;
    let nonsense = |reason: String| SandboxError::EngineAnswer { action: ACTION, reason };
    let (status, body) = split(&bytes).ok_or_else(|| nonsense("it is not HTTP".into()))?;
    match status {
        200 => serde_json::from_slice(body).map(Some).map_err(|error| nonsense(error.to_string())),
        404 => Ok(None),
        503 => Err(connector.gone(ACTION, one_line(&String::from_utf8_lossy(body)))),
        _ => Err(SandboxError::EngineRefused { action: ACTION, reason: format!("{status}: {}", one_line(&String::from_utf8_lossy(body))) }),
    }
}

async fn ask(engine: &Engine, name: &str) -> std::io::Result<Vec<u8>> {
    let version = engine.docker.client_version();
    let mut stream = UnixStream::connect(&engine.socket).await?;
    // Version 1.0: the answer comes in one piece and ends with the connection.
    let request = format!(
        "GET /v{}.{}/containers/{name}/json HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        version.major_version, version.minor_version
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    match answer.is_empty() {
        true => Err(std::io::Error::other("it closed the connection")),
        false => Ok(answer),
    }
}

/// Status and body of an answer.
fn split(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, &answer[end + 4..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_split_into_status_and_body() {
        assert_eq!(split(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}"), Some((200, &b"{}"[..])));
        assert_eq!(split(b"HTTP/1.1 404 Not Found\r\n\r\n"), Some((404, &b""[..])));
        for broken in [&b""[..], b"HTTP/1.0 200 OK\r\n", b"SSH-2.0\r\n\r\n", b"HTTP/1.0 x\r\n\r\n"] {
            assert_eq!(split(broken), None);
        }
    }

    #[test]
    fn states_outside_of_dockers_list_are_understood() {
        let parse = |state: &str| {
            serde_json::from_str::<Container>(&format!(r#"{{"Id":"a","State":{state},"Config":{{"Labels":null}}}}"#)).unwrap()
        };
        assert!(!parse(r#"{"Status":"stopped","Running":false,"ExitCode":137,"Pid":0}"#).is_alive());
        assert!(parse(r#"{"Status":"paused","Running":false,"Paused":true}"#).is_paused());
        assert!(parse(r#"{"Status":"initialized"}"#).is_new());
        assert_eq!(parse(r#"{"Pid":-1}"#).pid(), None);
    }
}
