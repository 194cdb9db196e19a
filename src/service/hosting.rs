//! A provider's counter: says `ready` to a paid rental, lets the renter in, runs its kernels, closes with the rental.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy::{
    primitives::Address,
    sol_types::{SolCall, SolStruct},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Mutex,
    task::JoinSet,
};

use super::{
    index::{ChainIndex, RentalInfo},
    sender::{Intent, SendError, Sender},
    session::{self, Login, LoginAnswer, SessionError, SessionReply, SessionRequest},
};
use crate::{
    net::{InboundStreams, NetStream, PeerId},
    sandbox::{KernelJob, Sandbox, SandboxError},
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::{
        Coded, DeviceId, RentalId,
        abi::GPURental,
        signing::{SessionKey, SessionOpened, contract_domain, recover_compact},
    },
};

/// Sessions open at once. More than a few renters per device means reconnecting clients, not users.
const MAX_SESSIONS: usize = 16;
/// Time a stream has for its login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How far the renter's clock may differ from ours.
const CLOCK_SKEW_SECONDS: u64 = 120;
/// Pause before a transaction that the chain refused is tried again, in blocks.
const RETRY_BLOCKS: u64 = 4;

pub struct Host {
    pub ethereum: ChainIndex,
    pub chain_id: u64,
    pub contract: Address,
    pub account: Address,
    pub sender: Sender,
    pub sandbox: Sandbox,
    /// Scratch folders of running kernels.
    pub scratch_dir: PathBuf,
    pub metrics: Metrics,
    /// One kernel at a time: the device belongs to one renter.
    pub running: Mutex<()>,
}

impl Host {
    fn rental(&self, id: RentalId) -> Option<RentalInfo> {
        self.ethereum.views().market.rentals.get(&id).copied().filter(|rental| rental.provider == self.account)
    }

    /// Paid rentals of our devices that wait for `ready`.
    fn waiting(&self) -> Vec<(RentalId, DeviceId)> {
        let views = self.ethereum.views();
        let waiting =
            views.market.rentals.iter().filter(|(_, rental)| rental.provider == self.account && rental.start == 0 && !rental.is_closed);
        waiting.map(|(id, rental)| (*id, rental.device)).collect()
    }

    async fn say_ready(&self, id: RentalId, attempt: u64) -> Result<(), SendError> {
        let call = GPURental::readyCall { rentalId: id };
        let mined = self.sender.submit(Intent::call(format!("ready:{id}:{attempt}"), "ready", self.contract, call.abi_encode())).await?;
        self.metrics.event("rental", "ready");
        tracing::info!(rental = id, tx = %mined.hash, gas = mined.gas_used, "rental is ready, the meter runs");
        Ok(())
    }

    /// Serves one renter's stream from login to the end.
    async fn serve(self: Arc<Self>, peer: PeerId, stream: NetStream) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let outcome = self.serve_stream(peer.to_bytes(), &mut reader, &mut writer).await;
        if let Err(error) = outcome {
            tracing::info!(%peer, code = error.code(), %error, "session ended");
        }
    }

    async fn serve_stream(
        &self,
        peer: Vec<u8>,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), SessionError> {
        let login: Login =
            tokio::time::timeout(LOGIN_TIMEOUT, session::read_login_frame(reader)).await.map_err(|_| SessionError::TimedOut)??;
        let admitted = self.admit(&login, &peer);
        session::write_frame(writer, &LoginAnswer::new(&admitted, &[])).await?;
        admitted?;
        self.record_opening(&login).await;
        self.metrics.event("session", "opened");
        tracing::info!(rental = login.rental, "renter is in");
        while let Some(request) = session::read_frame_or_end::<SessionRequest>(reader).await? {
            let reply = self.answer(login.rental, request).await;
            session::write_frame(writer, &reply).await?;
        }
        Ok(())
    }

    /// The key named in `rent` must have signed for the peer that holds this stream, and the rental must be running.
    fn admit(&self, login: &Login, peer: &[u8]) -> Result<(), SessionError> {
        let rental = self.rental(login.rental).ok_or(SessionError::UnknownRental { rental: login.rental })?;
        let now = unix_seconds();
        if !rental.covers(now) {
            return Err(SessionError::NotRunning { rental: login.rental, start: rental.start, end: rental.end });
        }
        if login.public_key != peer {
            return Err(SessionError::WrongPeer);
        }
        if login.expiry <= now {
            return Err(SessionError::Expired { expiry: login.expiry });
        }
        if login.opened_at.abs_diff(now) > CLOCK_SKEW_SECONDS {
            return Err(SessionError::Clock { theirs: login.opened_at, ours: now });
        }
        let domain = contract_domain(self.chain_id, self.contract);
        let key = SessionKey { rentalId: login.rental, publicKey: login.public_key.clone().into(), expiry: login.expiry };
        let opened = SessionOpened { rentalId: login.rental, time: login.opened_at };
        let signed_key = recover_compact(key.eip712_signing_hash(&domain), &login.key_signature);
        let signed_opened = recover_compact(opened.eip712_signing_hash(&domain), &login.opened_signature);
        if signed_key != Some(rental.session_key) || signed_opened != Some(rental.session_key) {
            return Err(SessionError::WrongSignature);
        }
        Ok(())
    }

    /// Without this on chain nothing is ever paid; the first login of a rental sends it.
    async fn record_opening(&self, login: &Login) {
        if self.rental(login.rental).is_none_or(|rental| rental.is_opened) {
            return;
        }
        let call = GPURental::sessionOpenedCall {
            rentalId: login.rental,
            time: login.opened_at,
            signature: login.opened_signature.clone().into(),
        };
        let intent =
            Intent::call(format!("session-opened:{}:{}", login.rental, login.opened_at), "sessionOpened", self.contract, call.abi_encode());
        match self.sender.submit(intent).await {
            Ok(mined) => tracing::info!(rental = login.rental, tx = %mined.hash, "session recorded on chain"),
            Err(error) => {
                tracing::error!(rental = login.rental, code = error.code(), %error, "session was not recorded: this rental will not be paid")
            }
        }
    }

    async fn answer(&self, id: RentalId, request: SessionRequest) -> SessionReply {
        let now = unix_seconds();
        let Some(rental) = self.rental(id).filter(|rental| rental.covers(now)) else {
            return SessionReply::refused("E-SESSION-003", "the rental has ended");
        };
        match request {
            SessionRequest::RunKernel(job) => self.run_kernel(id, *job, rental.end.saturating_sub(now)).await,
        }
    }

    async fn run_kernel(&self, id: RentalId, job: KernelJob, seconds_left: u64) -> SessionReply {
        let _one_at_a_time = self.running.lock().await;
        let run = self.sandbox.run_kernel(job, &self.scratch_dir);
        // A session ends with its rental: dropping the future kills the whole process group.
        let outcome = tokio::time::timeout(Duration::from_secs(seconds_left), run).await;
        match outcome {
            Ok(Ok(result)) => {
                self.metrics.event("kernel", "finished");
                tracing::info!(rental = id, elapsed_ms = result.elapsed_ms, isolation = ?result.isolation, "kernel finished");
                SessionReply::Finished(Box::new(result))
            }
            Ok(Err(error)) => self.kernel_failed(id, &error),
            Err(_) => SessionReply::refused("E-SESSION-003", "the rental ended while the kernel ran"),
        }
    }

    fn kernel_failed(&self, id: RentalId, error: &SandboxError) -> SessionReply {
        self.metrics.event("kernel", "failed");
        tracing::info!(rental = id, code = error.code(), %error, "kernel failed");
        SessionReply::refused(error.code(), error)
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// Says `ready` to new rentals and accepts renters' streams.
pub struct HostingService {
    pub host: Arc<Host>,
    pub streams: InboundStreams,
}

impl HostingService {
    async fn greet(&self, said: &mut BTreeMap<RentalId, u64>) {
        let newest = self.host.ethereum.newest().number;
        let mut busy = BTreeSet::new();
        for (rental, device) in self.host.waiting() {
            let due = said.get(&rental).is_none_or(|block| block + RETRY_BLOCKS <= newest);
            if !due || !busy.insert(device) {
                continue;
            }
            said.insert(rental, newest);
            if let Err(error) = self.host.say_ready(rental, newest).await {
                tracing::warn!(rental, code = error.code(), %error, "cannot say ready");
            }
        }
    }
}

#[async_trait::async_trait]
impl Service for HostingService {
    fn name(&self) -> &'static str {
        "hosting"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut head = self.host.ethereum.head();
        let mut sessions = JoinSet::new();
        let mut said = BTreeMap::new();
        loop {
            self.greet(&mut said).await;
            while sessions.try_join_next().is_some() {}
            tokio::select! {
                () = shutdown.intake.cancelled() => return Ok(()),
                changed = head.changed() => if changed.is_err() { return Ok(()) },
                incoming = self.streams.next(), if sessions.len() < MAX_SESSIONS => match incoming {
                    Some((peer, stream)) => { sessions.spawn(Arc::clone(&self.host).serve(peer, stream)); }
                    None => return Ok(()),
                },
            }
        }
    }
}
