//! The few JSON-RPC calls that steer a private chain. Plain HTTP/1.0 to a local address; nodes use `chain`.

use std::{io, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::DevnetError;

/// Largest request or answer. The largest honest one is a contract's creation code or a page of logs.
pub(super) const BODY_LIMIT: usize = 32 << 20;
/// Time a local node has to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Calls one method at `authority` (`host:port`).
pub(super) async fn call(authority: &str, method: &str, params: Value) -> Result<Value, DevnetError> {
    let failed = |reason: String| DevnetError::Rpc { method: method.into(), reason };
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let answer = tokio::time::timeout(TIMEOUT, post(authority, request.as_bytes())).await;
    let answer = answer.map_err(|_| failed("no answer in time".into()))?.map_err(|error| failed(error.to_string()))?;
    let mut answer: Value = serde_json::from_slice(&answer).map_err(|error| failed(error.to_string()))?;
    match answer.get("error") {
        Some(error) => Err(failed(error.to_string())),
        None => Ok(answer["result"].take()),
    }
}

/// HTTP/1.0, so that the answer ends with the connection and is never chunked.
pub(super) async fn post(authority: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut node = TcpStream::connect(authority).await?;
    let length = body.len();
    let head = format!("POST / HTTP/1.0\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    node.write_all(head.as_bytes()).await?;
    node.write_all(body).await?;
    let mut answer = Vec::new();
    node.take(BODY_LIMIT as u64).read_to_end(&mut answer).await?;
    let body_start = find(&answer, b"\r\n\r\n").ok_or_else(|| io::Error::other("the node gave no answer"))? + 4;
    Ok(answer.split_off(body_start))
}

/// Place of the first occurrence of `pattern`.
pub(super) fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
