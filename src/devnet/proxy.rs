//! A JSON-RPC proxy in front of a node that fails or lies on command.

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc, time::Duration};

use alloy::{consensus::Header, primitives::keccak256};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
};

use super::DevnetError;

/// Connections served at once; further ones wait.
const CONNECTIONS: usize = 128;
/// Largest request or answer. The largest honest one is a contract's creation code or a page of logs.
const BODY_LIMIT: usize = 32 << 20;
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
}

/// A proxy in front of one node. Stops when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    fault: watch::Sender<EndpointFault>,
    server: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free local port and forwards to `upstream` (`host:port` or `http://host:port`).
    pub async fn start(upstream: &str) -> Result<Self, DevnetError> {
        let failed = |error: io::Error| DevnetError::Proxy { reason: error.to_string() };
        let upstream: Arc<str> = upstream.trim_start_matches("http://").trim_end_matches('/').into();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (fault, watched) = watch::channel(EndpointFault::None);
        let server = tokio::spawn(serve(listener, upstream, watched));
        Ok(Self { address, fault, server })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes effect on requests that are not answered yet.
    pub fn set(&self, fault: EndpointFault) {
        self.fault.send_replace(fault);
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

async fn serve(listener: TcpListener, upstream: Arc<str>, fault: watch::Receiver<EndpointFault>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    // Dropped, and with it every connection, when the proxy stops.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (upstream, fault) = (upstream.clone(), fault.clone());
                let Ok(slot) = slots.clone().acquire_owned().await else { return };
                connections.spawn(async move {
                    let _slot = slot;
                    let exchange = exchange(stream, &upstream, fault);
                    if let Ok(Err(error)) = tokio::time::timeout(EXCHANGE_TIMEOUT, exchange).await {
                        tracing::trace!(%error, "exchange through the fault proxy failed");
                    }
                });
            }
        }
    }
}

/// One request per connection.
async fn exchange(mut client: TcpStream, upstream: &str, mut fault: watch::Receiver<EndpointFault>) -> io::Result<()> {
    let request = read_request(&mut client).await?;
    let now = *fault.borrow_and_update();
    match now {
        EndpointFault::Down => return Ok(()),
        EndpointFault::Stall => {
            // Whoever waits for this answer has long given up when the fault is lifted.
            let _ = fault.wait_for(|fault| *fault != EndpointFault::Stall).await;
            return Ok(());
        }
        _ => {}
    }
    let answer = forward(upstream, &request).await?;
    let answer = match now {
        EndpointFault::Lie | EndpointFault::WrongChainId(_) => falsify(&request, answer, now),
        _ => answer,
    };
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
    client.write_all(head.as_bytes()).await?;
    client.write_all(&answer).await?;
    client.shutdown().await
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

/// HTTP/1.0, so that the answer ends with the connection and is never chunked.
async fn forward(upstream: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut node = TcpStream::connect(upstream).await?;
    let head = format!("POST / HTTP/1.0\r\nHost: {upstream}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    node.write_all(head.as_bytes()).await?;
    node.write_all(body).await?;
    let mut answer = Vec::new();
    node.take(BODY_LIMIT as u64).read_to_end(&mut answer).await?;
    let body_start = find(&answer, b"\r\n\r\n").ok_or_else(|| io::Error::other("the node gave no answer"))? + 4;
    Ok(answer.split_off(body_start))
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
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
            EndpointFault::Lie if method.starts_with("eth_getBlockBy") => lie_about(result),
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
