//! What a node says over HTTP, as a monitoring system reads it.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The answer with its head; empty where there is none.
pub async fn get(http: SocketAddr, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(http).await else { return String::new() };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    if stream.write_all(request.as_bytes()).await.is_ok() {
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await;
    }
    answer
}

/// A metric's value; 0 while there is none.
pub async fn metric(http: SocketAddr, series: &str) -> f64 {
    let text = get(http, "/metrics").await;
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap_or(0.0)
}
