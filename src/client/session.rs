//! The renter's end of a session: find the provider, log in, run kernels.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy::{
    primitives::{Address, B256},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::SolStruct,
};
use futures::future::Either;
use tokio::io::{ReadHalf, WriteHalf, split};

use super::{ClientError, Clients, directory::join_by, rent::RentalView};
use crate::{
    config::NodeConfig,
    net::{Multiaddr, NetConfig, NetHandle, NetStream, Network, PeerId},
    service::session::{
        Login, LoginAnswer, NamedKey, SESSION_PROTOCOL, SessionError, SessionReply, SessionRequest, read_frame, read_login_frame,
        write_frame,
    },
    service::told::{LaunchProgress, TenantStatus},
    task::{Service, Shutdown},
    telemetry::Metrics,
    types::{
        RentalId,
        launch::LaunchSpec,
        record::SignedNodeRecord,
        signing::{SessionKey, SessionOpened, compact, contract_domain},
        wire::{Request, Response},
    },
};

pub use crate::sandbox::{KernelArg, KernelJob, KernelResult};

/// Any free port.
const LISTEN: [&str; 2] = ["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"];
/// A login lasts this long; a new one needs nothing but the session key.
const KEY_SECONDS: u64 = 3_600;
/// Time to find and reach the provider.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// Pause between two rounds of asking for the provider's record. It is what a connection waits for the first peer.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// Pause between two attempts to open a session on a rental that was just paid.
const RETRY_EVERY: Duration = Duration::from_millis(300);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Time a provider has to answer a login; it may have to find the container first.
const LOGIN_WITHIN: Duration = Duration::from_secs(30);
/// Largest file that remembers a provider.
const MAX_REMEMBERED_BYTES: u64 = 16 * 1024;

/// A renter's node: calls others, lives as long as the command. It listens for one thing only: where renter and provider both sit behind
/// routers, the direct path between them is a call from each side at once.
pub struct RenterNode {
    net: NetHandle,
    bootstrap: Vec<Multiaddr>,
    shutdown: Shutdown,
    event_loop: tokio::task::JoinHandle<()>,
}

impl RenterNode {
    /// Joins by the nodes of the configuration, or by those that Kings have announced on chain.
    pub async fn start(config: &NodeConfig, identity: [u8; 32]) -> Result<Self, ClientError> {
        let bootstrap = join_by(config).await?;
        let listen = LISTEN.iter().filter_map(|address| address.parse().ok()).collect();
        let net_config = NetConfig { listen, bootstrap: bootstrap.clone(), ..NetConfig::default() };
        let (net, mut events, mut event_loop) = Network::start(net_config, identity, Metrics::default())?;
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let event_loop = tokio::spawn(async move {
            // A renter answers nobody: requests are dropped, which refuses them.
            let drain = async { while events.next().await.is_some() {} };
            tokio::select! {
                ended = event_loop.run(&stop) => if ended.is_err() {
                    tracing::debug!("the network stopped early");
                },
                () = drain => {}
            }
        });
        Ok(Self { net, bootstrap, shutdown, event_loop })
    }

    /// Asks the nodes it joined by where the provider is.
    async fn find(&self, clients: &Clients, provider: Address) -> Result<Place, ClientError> {
        let deadline = tokio::time::Instant::now() + CONNECT_WITHIN;
        let mut tick = tokio::time::interval(ASK_EVERY);
        while tokio::time::Instant::now() < deadline {
            tick.tick().await;
            for peer in self.net.connected_peers().await? {
                let asked = self.net.request(peer.peer, &self.bootstrap, Request::Record { account: Some(provider) });
                if let Ok(Ok(Response::Record(Some(signed)))) = tokio::time::timeout(ANSWER_WITHIN, asked).await
                    && is_trusted(clients, provider, &signed).await
                    && let Some(found) = Place::new(signed)
                {
                    tracing::debug!(%provider, asked = %peer.peer, "the provider is found");
                    return Ok(found);
                }
            }
        }
        Err(ClientError::ProviderUnknown { provider })
    }

    /// Opens a session on `rental`.
    pub async fn open(&self, clients: &Clients, rental: &RentalView, key: &PrivateKeySigner) -> Result<Session, ClientError> {
        let place = self.reach(clients, rental.provider, None).await?;
        let (stream, _) = self.login(&place, clients, rental, key, SESSION_PROTOCOL, &[]).await?;
        let (reader, writer) = split(stream);
        Ok(Session { reader, writer })
    }

    /// Opens a stream of `protocol` and logs in, naming `ssh_keys` (SSH wire format); answers the provider's SSH host key as well.
    pub(super) async fn login(
        &self,
        place: &Place,
        clients: &Clients,
        rental: &RentalView,
        key: &PrivateKeySigner,
        protocol: &'static str,
        ssh_keys: &[Vec<u8>],
    ) -> Result<(NetStream, Vec<u8>), ClientError> {
        let mut stream = self.net.open_stream(place.peer, &place.addresses, protocol).await?;
        let login = sign_login(clients, rental.rental, key, self.net.local_peer_id().to_bytes(), ssh_keys)?;
        let exchange = async {
            write_frame(&mut stream, &login).await?;
            read_login_frame(&mut stream).await
        };
        match tokio::time::timeout(LOGIN_WITHIN, exchange).await.map_err(|_| SessionError::TimedOut)?? {
            LoginAnswer::Welcome { ssh_host_key } => Ok((stream, ssh_host_key)),
            LoginAnswer::Refused { code, reason } => Err(SessionError::refused(&code, &reason).into()),
        }
    }

    /// Connects to the provider: calls where it was last, which the file `remembered` tells, and asks where it is now, whichever is
    /// sooner. So a session can be opened while nobody is there to ask.
    pub(super) async fn reach(&self, clients: &Clients, provider: Address, remembered: Option<&Path>) -> Result<Place, ClientError> {
        let again = async {
            let place = remembered.and_then(|path| recall(clients, provider, path));
            let place = place.ok_or(ClientError::ProviderUnknown { provider })?;
            self.net.connect(place.peer, &place.addresses).await?;
            Ok(place)
        };
        let anew = async {
            let place = self.find(clients, provider).await?;
            if let Some(path) = remembered {
                place.remember(path)?;
            }
            self.net.connect(place.peer, &place.addresses).await?;
            Ok(place)
        };
        // An error of the first is no news, one of the second is.
        match futures::future::select(std::pin::pin!(again), std::pin::pin!(anew)).await {
            Either::Left((Err(_), anew)) => anew.await,
            Either::Right((Err(error), again)) => again.await.map_err(|_: ClientError| error),
            Either::Left((reached, _)) | Either::Right((reached, _)) => reached,
        }
    }

    /// Opens a session on a rental that the provider may not have seen yet.
    pub async fn open_within(
        &self,
        clients: &Clients,
        rental: &RentalView,
        key: &PrivateKeySigner,
        within: Duration,
    ) -> Result<Session, ClientError> {
        let deadline = tokio::time::Instant::now() + within;
        let mut tick = tokio::time::interval(RETRY_EVERY);
        loop {
            tick.tick().await;
            match self.open(clients, rental, key).await {
                Err(error) if error.is_premature() && tokio::time::Instant::now() < deadline => {
                    tracing::debug!(%error, "the provider is not there yet");
                }
                outcome => return outcome,
            }
        }
    }

    pub async fn stop(self) {
        self.shutdown.intake.cancel();
        drop(self.net);
        if self.event_loop.await.is_err() {
            tracing::debug!("the network ended with a panic");
        }
    }
}

/// Where a provider is, and its word for it.
pub(super) struct Place {
    signed: SignedNodeRecord,
    peer: PeerId,
    addresses: Vec<Multiaddr>,
}

impl Place {
    fn new(signed: SignedNodeRecord) -> Option<Self> {
        let peer = PeerId::from_bytes(&signed.record.peer_id).ok()?;
        let addresses = signed.record.addresses.iter().filter_map(|address| address.parse().ok()).collect();
        Some(Self { signed, peer, addresses })
    }

    fn remember(&self, path: &Path) -> Result<(), ClientError> {
        let bytes = serde_json::to_vec(&self.signed).map_err(|error| ClientError::File { path: path.into(), source: error.into() })?;
        super::shell::replace(path, &bytes)
    }
}

/// What was remembered, if it is of this provider and has not expired. The chain vouched for it when it was written.
fn recall(clients: &Clients, provider: Address, path: &Path) -> Option<Place> {
    let length = std::fs::metadata(path).ok()?.len();
    let bytes = (length <= MAX_REMEMBERED_BYTES).then(|| std::fs::read(path).ok())??;
    let signed: SignedNodeRecord = serde_json::from_slice(&bytes).ok()?;
    signed.operator(&contract_domain(clients.book.ethereum.chain_id, clients.book.ethereum.staking_manager)).ok()?;
    let is_current = signed.record.account == provider && signed.record.check_time(unix_seconds()).is_ok();
    Place::new(signed).filter(|_| is_current)
}

/// The record must be signed by the key that StakingManager names as the provider's operator.
async fn is_trusted(clients: &Clients, provider: Address, signed: &SignedNodeRecord) -> bool {
    use crate::{chain::BlockId, types::abi::StakingManager};
    let staking = clients.book.ethereum.staking_manager;
    let Ok(operator) = signed.operator(&contract_domain(clients.book.ethereum.chain_id, staking)) else { return false };
    let call = StakingManager::accountOfCall { key: operator };
    let account = clients.ethereum.call(staking, call, BlockId::latest()).await;
    account.is_ok_and(|account| account == provider) && signed.record.account == provider
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

fn sign_login(
    clients: &Clients,
    rental: RentalId,
    key: &PrivateKeySigner,
    public_key: Vec<u8>,
    ssh_keys: &[Vec<u8>],
) -> Result<Login, ClientError> {
    let domain = contract_domain(clients.book.ethereum.chain_id, clients.book.ethereum.gpu_rental);
    let now = unix_seconds();
    let expiry = now + KEY_SECONDS;
    let sign = |digest: B256| key.sign_hash_sync(&digest).map(|signature| compact(&signature).to_vec());
    let name = |public_key: Vec<u8>| SessionKey { rentalId: rental, publicKey: public_key.into(), expiry }.eip712_signing_hash(&domain);
    let opened = SessionOpened { rentalId: rental, time: now };
    let ssh_keys = ssh_keys
        .iter()
        .map(|public_key| Ok(NamedKey { public_key: public_key.clone(), expiry, signature: sign(name(public_key.clone()))? }))
        .collect::<Result<_, ClientError>>()?;
    Ok(Login {
        rental,
        key_signature: sign(name(public_key.clone()))?,
        public_key,
        expiry,
        opened_at: now,
        opened_signature: sign(opened.eip712_signing_hash(&domain))?,
        ssh_keys,
    })
}

/// An open session.
pub struct Session {
    reader: ReadHalf<NetStream>,
    writer: WriteHalf<NetStream>,
}

impl Session {
    /// Says what to start and follows it until the renter could log in. Asking again for the same is harmless.
    pub async fn launch(&mut self, launch: LaunchSpec, on_progress: &(dyn Fn(&LaunchProgress) + Sync)) -> Result<(), ClientError> {
        launch.check().map_err(|error| ClientError::Argument { argument: error.what.into(), reason: error.reason })?;
        write_frame(&mut self.writer, &SessionRequest::Launch(Box::new(launch))).await?;
        loop {
            match read_frame(&mut self.reader).await? {
                SessionReply::Progress(LaunchProgress::Prepared) => return Ok(()),
                SessionReply::Progress(LaunchProgress::Failed { code, reason }) => {
                    return Err(SessionError::refused(&code, &reason).into());
                }
                SessionReply::Progress(progress) => on_progress(&progress),
                reply => return Err(unexpected(reply).into()),
            }
        }
    }

    /// The rental as its provider sees it.
    pub async fn status(&mut self) -> Result<TenantStatus, ClientError> {
        write_frame(&mut self.writer, &SessionRequest::Status).await?;
        match tokio::time::timeout(ANSWER_WITHIN, read_frame(&mut self.reader)).await.map_err(|_| SessionError::TimedOut)?? {
            SessionReply::Status(status) => Ok(*status),
            reply => Err(unexpected(reply).into()),
        }
    }

    /// Runs one kernel on the rented device.
    pub async fn run_kernel(&mut self, job: KernelJob) -> Result<KernelResult, ClientError> {
        write_frame(&mut self.writer, &SessionRequest::RunKernel(Box::new(job))).await?;
        match read_frame(&mut self.reader).await? {
            SessionReply::Finished(result) => Ok(*result),
            reply => Err(unexpected(reply).into()),
        }
    }
}

/// A refusal, or a provider that does not keep to the protocol.
fn unexpected(reply: SessionReply) -> SessionError {
    match reply {
        SessionReply::Refused { code, reason } => SessionError::refused(&code, &reason),
        _ => SessionError::Unexpected,
    }
}

/// A job from the command line's arguments, with the files that its outputs go to.
pub fn job_from_arguments(
    source: &Path,
    kernel_name: &str,
    global_size: [usize; 3],
    arguments: &[String],
) -> Result<(KernelJob, Vec<PathBuf>), ClientError> {
    let mut outputs = Vec::new();
    let mut args = Vec::new();
    for argument in arguments {
        args.push(parse_argument(argument, &mut outputs)?);
    }
    let text = std::fs::read_to_string(source).map_err(|error| ClientError::File { path: source.into(), source: error })?;
    let job = KernelJob {
        source: text,
        kernel_name: kernel_name.into(),
        global_size: global_size.map(|size| size as u64),
        local_size: None,
        args,
        build_options: Vec::new(),
    };
    Ok((job, outputs))
}

fn parse_argument(argument: &str, outputs: &mut Vec<PathBuf>) -> Result<KernelArg, ClientError> {
    let wrong = |reason: &str| ClientError::Argument { argument: argument.into(), reason: reason.into() };
    let (kind, value) = argument.split_once('=').ok_or_else(|| wrong("not of the form KIND=VALUE"))?;
    let number = || wrong("not a number of that type");
    match kind {
        "in" => {
            let bytes = std::fs::read(value).map_err(|source| ClientError::File { path: value.into(), source })?;
            Ok(KernelArg::Input(bytes))
        }
        "out" => {
            let (file, bytes) = value.rsplit_once(':').ok_or_else(|| wrong("not of the form out=FILE:BYTES"))?;
            outputs.push(file.into());
            Ok(KernelArg::Output(bytes.parse().map_err(|_| number())?))
        }
        "i32" => value.parse().map(KernelArg::I32).map_err(|_| number()),
        "u32" => value.parse().map(KernelArg::U32).map_err(|_| number()),
        "i64" => value.parse().map(KernelArg::I64).map_err(|_| number()),
        "u64" => value.parse().map(KernelArg::U64).map_err(|_| number()),
        "f32" => value.parse().map(KernelArg::F32).map_err(|_| number()),
        "f64" => value.parse().map(KernelArg::F64).map_err(|_| number()),
        _ => Err(wrong("unknown kind; use in, out, i32, u32, i64, u64, f32 or f64")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_or_refused() {
        let mut outputs = Vec::new();
        assert_eq!(parse_argument("i32=-4", &mut outputs).unwrap(), KernelArg::I32(-4));
        assert_eq!(parse_argument("out=a:b.bin:16", &mut outputs).unwrap(), KernelArg::Output(16));
        assert_eq!(outputs, [PathBuf::from("a:b.bin")]);
        for wrong in ["", "in", "i32=x", "u32=-1", "out=file", "out=file:x", "xx=1", "in=/nonexistent"] {
            assert!(parse_argument(wrong, &mut outputs).is_err(), "{wrong}");
        }
    }
}
