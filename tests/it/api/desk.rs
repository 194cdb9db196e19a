//! A deployed market on two anvils, its index, and the public interface over it, all in the test's own process.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, RwLock},
    time::Duration,
};

use alloy::{primitives::Address, sol_types::SolCall};
use gpumkt::{
    chain::{Chain, ChainConfig},
    client::Clients,
    config::ApiSection,
    devnet::chains::Anvil,
    http::api::ApiServer,
    rules::quorum::KingSet,
    service::{
        COLUMNS,
        api::{
            MarketApi, Told,
            live::{Live, LiveReader},
        },
        checkpoints::CheckpointBook,
        follower::Follower,
        indexer::{self, MarketIndex, MarketIndexer},
        kings::KingSets,
    },
    store::Store,
    task::{Service, Shutdown},
    telemetry::Metrics,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinHandle,
};

use super::schema;
use crate::{
    deploy::{Site, succeeded},
    impersonate::send_as,
    poll,
};

/// A loaded machine needs seconds for what takes milliseconds.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A running interface.
pub struct Served {
    pub address: SocketAddr,
    shutdown: Shutdown,
    tasks: Vec<JoinHandle<()>>,
    pub http: reqwest::Client,
}

fn spawn(shutdown: &Shutdown, mut service: impl Service) -> JoinHandle<()> {
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        // As the supervisor does, without its back-off.
        while service.run(&shutdown).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
}

impl Served {
    pub async fn stop(self) {
        self.shutdown.intake.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/api/v1{path}", self.address)
    }

    pub async fn send(&self, path: &str, headers: &[(&'static str, &str)]) -> reqwest::Response {
        let mut request = self.http.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// The answer to a path, which must be as it is described.
    pub async fn get(&self, path: &str) -> Value {
        let response = self.send(path, &[]).await;
        let status = response.status().as_u16();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(status, 200, "{path}: {answer}");
        schema::check(path, 200, &answer);
        answer
    }

    /// A refusal: status and code.
    pub async fn refused(&self, path: &str) -> (u16, String) {
        let response = self.send(path, &[]).await;
        let status = response.status().as_u16();
        let answer: Value = response.json().await.unwrap();
        schema::check_as("Error", &answer);
        assert!(!answer["message"].as_str().unwrap().is_empty() && !answer["next"].as_str().unwrap().is_empty(), "{answer}");
        (status, answer["code"].as_str().unwrap().into())
    }

    pub async fn until(&self, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        poll::find(what, DEADLINE, poll::PACE, async || {
            let answer: Value = self.send(path, &[]).await.json().await.unwrap();
            holds(&answer).then_some(answer)
        })
        .await
    }

    /// HTTP/1.0, so that nothing is chunked.
    pub async fn stream(&self, query: &str, last: Option<&str>) -> Stream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let request = format!("GET /api/v1/events{query} HTTP/1.0\r\nHost: {}\r\n{last}\r\n", self.address);
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut stream = Stream { lines: BufReader::new(socket) };
        let head = stream.head().await;
        assert!(head[0].contains(" 200 ") && head.iter().any(|line| line == "content-type: text/event-stream"), "{head:?}");
        stream
    }
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    pub kind: String,
    pub id: String,
    pub data: Value,
}

pub struct Stream {
    lines: BufReader<TcpStream>,
}

impl Stream {
    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = tokio::time::timeout(DEADLINE, self.lines.read_line(&mut line)).await.expect("nothing in time").unwrap();
        assert_ne!(read, 0, "the stream ended");
        line.trim_end().to_string()
    }

    async fn head(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.line().await {
                line if line.is_empty() => return lines,
                line => lines.push(line),
            }
        }
    }

    pub async fn next(&mut self) -> Heard {
        let (mut kind, mut id, mut data) = (String::new(), String::new(), String::new());
        loop {
            let line = self.line().await;
            match line.split_once(": ") {
                Some(("event", value)) => kind = value.into(),
                Some(("id", value)) => id = value.into(),
                Some(("data", value)) => data.push_str(value),
                _ if line.is_empty() && !kind.is_empty() => {
                    let data = serde_json::from_str(&data).unwrap();
                    let shape = match kind.as_str() {
                        "head" => "HeadEvent",
                        "reorg" => "ReorgEvent",
                        "reset" => "ResetEvent",
                        _ => "Event",
                    };
                    schema::check_as(shape, &data);
                    return Heard { kind, id, data };
                }
                _ => {}
            }
        }
    }

    /// The next event that is no head.
    pub async fn event(&mut self) -> Heard {
        loop {
            let heard = self.next().await;
            if heard.kind != "head" {
                return heard;
            }
        }
    }
}

/// The market on its chains.
pub struct Desk {
    pub site: Site,
}

impl Desk {
    pub async fn new() -> Self {
        let site = Site::new().await;
        succeeded(&site.deploy().output().unwrap());
        Self { site }
    }

    async fn connect(&self, anvil: &Anvil) -> Chain {
        let config = ChainConfig { poll_ms: 20, ..ChainConfig::new(anvil.kind(), anvil.chain_id(), vec![anvil.url()]) };
        Chain::connect(config).await.unwrap()
    }

    pub async fn clients(&self, name: &str) -> Clients {
        Clients {
            ethereum: self.connect(&self.site.ethereum).await,
            classic: self.connect(&self.site.classic).await,
            book: self.site.book(),
            signer: self.site.accounts.signer(name).unwrap(),
        }
    }

    pub fn address(&self, name: &str) -> Address {
        self.site.accounts.address(name).unwrap()
    }

    /// Index and interface over a store in `folder`.
    pub async fn serve(&self, folder: &Path, section: ApiSection) -> Served {
        let book = self.site.book();
        let store = Store::open(folder, COLUMNS).unwrap();
        let index = MarketIndex::new(store.clone(), book.clone());
        let live: Arc<RwLock<Live>> = Arc::default();
        let (ethereum, classic) = (self.connect(&self.site.ethereum).await, self.connect(&self.site.classic).await);
        let shutdown = Shutdown::new();
        let mut tasks = Vec::new();
        for (chain, name) in [(&ethereum, "market-ethereum"), (&classic, "market-classic")] {
            let kind = chain.kind();
            let mut follower = Follower::new(chain.clone(), store.clone(), name, indexer::addresses(&book, kind), book.start_block(kind));
            let events = follower.subscribe(64);
            tasks.push(spawn(&shutdown, MarketIndexer::new(kind, index.clone(), events).unwrap()));
            tasks.push(spawn(&shutdown, follower));
        }
        let checkpoints = CheckpointBook::new(KingSets::new(KingSet::from_entry(&book.kings)), book.clone());
        let told = Told { strides: [2, 2], classic_min_depth: 2, silent_chain_seconds: 300 };
        let api = MarketApi::new(index.clone(), checkpoints, Arc::clone(&live), told);
        tasks.push(spawn(&shutdown, LiveReader { ethereum, classic, index, live }));
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = ApiServer::bind(local, section, Arc::new(api), Metrics::default()).await.unwrap();
        let address = server.local_address();
        tasks.push(spawn(&shutdown, server));
        let served = Served { address, shutdown, tasks, http: reqwest::Client::new() };
        served.until("/network", "the index catches up", |network| network["is_caught_up"] == true).await;
        served
    }

    /// Sends from a contract's address, as only anvil can.
    pub async fn impersonate(&self, from: Address, to: Address, call: impl SolCall) {
        send_as(&self.site.ethereum, from, to, call).await;
    }
}

/// Limits that no test but that of the limits meets.
pub fn generous() -> ApiSection {
    ApiSection { requests_per_second: 1_000_000, burst: 1_000_000, ..ApiSection::default() }
}
