//! A JSON-RPC proxy in front of a node that fails or lies on command.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy::{
    consensus::Header,
    primitives::{B256, keccak256},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
};

use super::{
    DevnetError,
    rpc::{BODY_LIMIT, find, post},
};

/// Connections served at once; further ones wait.
const CONNECTIONS: usize = 128;
const HEAD_LIMIT: usize = 16 << 10;
/// Time one exchange may take, so that no connection is held for ever.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// How the endpoint misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointFault {
    None,
    /// Connections are closed without an answer.
    Down,
    /// Requests are taken and never answered.
    Stall,
    /// Blocks come with other contents and a hash that fits them: a branch that does not exist.
    Lie,
    /// The endpoint claims to serve this chain.
    WrongChainId(u64),
    /// Blocks as `Lie`, and calls answer with another value: a poisoned node.
    LieAboutState,
    /// The newest log of every answer is missing.
    TruncateLogs,
    /// The chain seems to have ended at this block.
    Stale(u64),
    /// Half of each answer, then the connection breaks.
    CutAnswers,
    /// Calls of this method never reach the node.
    Refuse(&'static str),
    /// Calls of this method reach the node, its answers get lost.
    LoseAnswer(&'static str),
}

/// A proxy in front of one node. Stops when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    fault: watch::Sender<EndpointFault>,
    failed: Arc<AtomicU64>,
    seen: Seen,
    server: JoinHandle<()>,
}

/// Calls so far, by method.
type Seen = Arc<Mutex<HashMap<String, u64>>>;

impl FaultProxy {
    /// Listens on a free local port and forwards to `upstream` (`host:port` or `http://host:port`).
    pub async fn start(upstream: &str) -> Result<Self, DevnetError> {
        let failed = |error: io::Error| DevnetError::Proxy { reason: error.to_string() };
        let upstream: Arc<str> = upstream.trim_start_matches("http://").trim_end_matches('/').into();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (fault, watched) = watch::channel(EndpointFault::None);
        let failed = Arc::<AtomicU64>::default();
        let seen = Seen::default();
        let server = tokio::spawn(serve(listener, upstream, watched, failed.clone(), seen.clone()));
        Ok(Self { address, fault, failed, seen, server })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes effect on requests that are not answered yet.
    pub fn set(&self, fault: EndpointFault) {
        self.fault.send_replace(fault);
    }

    /// Exchanges so far that ended without an answer.
    pub fn unanswered(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Calls of `method` so far.
    pub fn seen(&self, method: &str) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(method).copied().unwrap_or(0)
    }

    pub fn fault(&self) -> EndpointFault {
        *self.fault.borrow()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, upstream: Arc<str>, fault: watch::Receiver<EndpointFault>, failed: Arc<AtomicU64>, seen: Seen) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    // Dropped, and with it every connection, when the proxy stops.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (upstream, fault, failed, seen) = (upstream.clone(), fault.clone(), failed.clone(), seen.clone());
                let Ok(slot) = slots.clone().acquire_owned().await else { return };
                connections.spawn(async move {
                    let _slot = slot;
                    let exchange = exchange(stream, &upstream, fault, &seen);
                    if !matches!(tokio::time::timeout(EXCHANGE_TIMEOUT, exchange).await, Ok(Ok(true))) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        }
    }
}

/// One request per connection; `true` when it was answered.
async fn exchange(mut client: TcpStream, upstream: &str, mut fault: watch::Receiver<EndpointFault>, seen: &Seen) -> io::Result<bool> {
    let request = read_request(&mut client).await?;
    note(&request, seen);
    let now = *fault.borrow_and_update();
    match now {
        EndpointFault::Down => return Ok(false),
        EndpointFault::Stall => {
            // Whoever waits for this answer has long given up when the fault is lifted.
            let _ = fault.wait_for(|fault| *fault != EndpointFault::Stall).await;
            return Ok(false);
        }
        EndpointFault::Refuse(method) if calls(&request, method) => return Ok(false),
        _ => {}
    }
    let answer = match now {
        EndpointFault::Stale(newest) => post(upstream, &pinned(&request, newest)).await?,
        _ => post(upstream, &request).await?,
    };
    let answer = match now {
        EndpointFault::LoseAnswer(method) if calls(&request, method) => return Ok(false),
        EndpointFault::Lie | EndpointFault::LieAboutState | EndpointFault::TruncateLogs | EndpointFault::WrongChainId(_) => {
            falsify(&request, answer, now)
        }
        _ => answer,
    };
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
    client.write_all(head.as_bytes()).await?;
    if now == EndpointFault::CutAnswers {
        client.write_all(&answer[..answer.len() / 2]).await?;
        return Ok(false);
    }
    client.write_all(&answer).await?;
    client.shutdown().await?;
    Ok(true)
}

fn note(request: &[u8], seen: &Seen) {
    let request = serde_json::from_slice::<Value>(request).unwrap_or_default();
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    for method in listed(&request).iter().filter_map(|call| call.get("method")?.as_str()) {
        *seen.entry(method.into()).or_default() += 1;
    }
}

/// The request with block `newest` wherever it asks for the newest one, or for a later one.
fn pinned(request: &[u8], newest: u64) -> Vec<u8> {
    let Ok(mut request) = serde_json::from_slice::<Value>(request) else { return request.to_vec() };
    let single = std::slice::from_mut(&mut request);
    let calls: &mut [Value] = match single {
        [Value::Array(calls)] => calls,
        other => other,
    };
    for call in calls.iter_mut().filter(|call| call["method"] == "eth_getBlockByNumber") {
        let Some(tag) = call.pointer_mut("/params/0") else { continue };
        let number = tag.as_str().and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok());
        match number {
            // No node has this one.
            Some(number) if number > newest => *tag = json!("0xffffffffffff"),
            Some(_) => {}
            None => *tag = json!(format!("{newest:#x}")),
        }
    }
    request.to_string().into_bytes()
}

fn calls(request: &[u8], method: &str) -> bool {
    let request = serde_json::from_slice::<Value>(request).unwrap_or_default();
    listed(&request).iter().any(|call| call.get("method").and_then(Value::as_str) == Some(method))
}

async fn read_request(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let body_start = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            break end + 4;
        }
        if bytes.len() > HEAD_LIMIT || client.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::other("no complete request head"));
        }
    };
    let head = String::from_utf8_lossy(&bytes[..body_start]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).and_then(|value| value.trim().parse().ok());
    let length: usize = length.filter(|length| *length <= BODY_LIMIT).ok_or_else(|| io::Error::other("no usable content length"))?;
    let mut body = bytes.split_off(body_start);
    let missing = length.saturating_sub(body.len()) as u64;
    client.take(missing).read_to_end(&mut body).await?;
    if body.len() == length { Ok(body) } else { Err(io::Error::other("the request ended early")) }
}

/// Changes the answers that the fault is about; everything else, and what cannot be read, passes.
fn falsify(request: &[u8], answer: Vec<u8>, fault: EndpointFault) -> Vec<u8> {
    let (Ok(request), Ok(mut answers)) = (serde_json::from_slice::<Value>(request), serde_json::from_slice::<Value>(&answer)) else {
        return answer;
    };
    let methods: HashMap<String, String> =
        listed(&request).iter().filter_map(|call| Some((call.get("id")?.to_string(), call.get("method")?.as_str()?.to_string()))).collect();
    let single = std::slice::from_mut(&mut answers);
    let items: &mut [Value] = match single {
        [Value::Array(items)] => items,
        other => other,
    };
    for item in items {
        let method = item.get("id").and_then(|id| methods.get(&id.to_string())).cloned().unwrap_or_default();
        let Some(result) = item.get_mut("result") else { continue };
        match fault {
            EndpointFault::Lie | EndpointFault::LieAboutState if method.starts_with("eth_getBlockBy") => lie_about(result),
            EndpointFault::LieAboutState if method == "eth_call" => {
                if let Some(hash) = result.as_str().and_then(|text| text.parse::<B256>().ok()) {
                    *result = json!(keccak256(hash));
                }
            }
            EndpointFault::TruncateLogs if method == "eth_getLogs" => {
                result.as_array_mut().map(Vec::pop);
            }
            EndpointFault::WrongChainId(id) if method == "eth_chainId" => *result = json!(format!("{id:#x}")),
            EndpointFault::WrongChainId(id) if method == "net_version" => *result = json!(id.to_string()),
            _ => {}
        }
    }
    answers.to_string().into_bytes()
}

fn listed(request: &Value) -> &[Value] {
    match request {
        Value::Array(calls) => calls,
        call => std::slice::from_ref(call),
    }
}

fn lie_about(block: &mut Value) {
    let Ok(mut header) = serde_json::from_value::<Header>(block.clone()) else { return };
    header.mix_hash = keccak256(header.mix_hash);
    block["mixHash"] = json!(header.mix_hash);
    block["hash"] = json!(header.hash_slow());
}
