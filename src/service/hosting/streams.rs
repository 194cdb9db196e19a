//! One renter's stream, from login to the end.

use std::{sync::Arc, time::Duration};

use alloy::sol_types::SolCall;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Host, admission::Purpose};
use crate::{
    net::{NetStream, PeerId},
    sandbox::{KernelJob, SshAccess},
    service::{
        sender::Intent,
        session::{self, Login, LoginAnswer, SessionError, SessionReply, SessionRequest},
        tenants::{LaunchProgress, TenantError, TenantStatus},
        unix_seconds,
    },
    types::{Coded, RentalId, abi::GPURental, launch::LaunchSpec},
};

/// Time a stream has for its login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two looks at the end of a rental while something of it runs.
const END_LOOK: Duration = Duration::from_secs(1);

impl Host {
    /// Launches, answers questions, runs bare kernels.
    pub(super) async fn serve_control(self: Arc<Self>, peer: PeerId, stream: NetStream) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let outcome = self.control(&peer.to_bytes(), &mut reader, &mut writer).await;
        if let Err(error) = outcome {
            self.metrics.event("session", "failed");
            tracing::info!(%peer, code = error.code(), %error, "session ended");
        }
    }

    async fn control(
        &self,
        peer: &[u8],
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), SessionError> {
        let (login, _) = self.log_in(peer, Purpose::Control, reader, writer).await?;
        while let Some(request) = session::read_frame_or_end::<SessionRequest>(reader).await? {
            match request {
                SessionRequest::Launch(launch) => self.launch(login.rental, *launch, writer).await?,
                SessionRequest::Status => {
                    let status = self.tenants.status(login.rental).await;
                    let public_address = self.public.address(login.rental);
                    let told = |status| SessionReply::Status(Box::new(TenantStatus { public_address, ..status }));
                    let reply = status.map_or_else(|error| refused(&error), told);
                    session::write_frame(writer, &reply).await?;
                }
                SessionRequest::RunKernel(job) => {
                    let reply = self.run_kernel(&login, *job).await;
                    session::write_frame(writer, &reply).await?;
                }
            }
        }
        Ok(())
    }

    async fn log_in(
        &self,
        peer: &[u8],
        purpose: Purpose,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(Login, Vec<Vec<u8>>), SessionError> {
        let login: Login =
            tokio::time::timeout(LOGIN_TIMEOUT, session::read_login_frame(reader)).await.map_err(|_| SessionError::TimedOut)??;
        let admitted = self.admit(&login, peer, purpose);
        session::write_frame(writer, &LoginAnswer::new(&admitted, &self.ssh.public_host_key())).await?;
        Ok((login, admitted?))
    }

    /// Tells every step until the renter can log in, or why it cannot.
    async fn launch(&self, id: RentalId, launch: LaunchSpec, writer: &mut (impl AsyncWrite + Unpin)) -> Result<(), SessionError> {
        if launch.publish.is_some() && !self.public.is_allowed() {
            return session::write_frame(writer, &refused(&TenantError::NoPublicPorts)).await;
        }
        if let Err(error) = self.tenants.set_launch(id, launch) {
            return session::write_frame(writer, &refused(&error)).await;
        }
        self.wake.notify_one();
        let mut progress = match self.tenants.progress(id) {
            Ok(progress) => progress,
            Err(error) => return session::write_frame(writer, &refused(&error)).await,
        };
        loop {
            let now = progress.borrow_and_update().clone();
            let is_last = matches!(now, LaunchProgress::Prepared | LaunchProgress::Failed { .. });
            session::write_frame(writer, &SessionReply::Progress(now)).await?;
            if is_last || progress.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Without this on chain nothing is ever paid; the first use of a rental sends it.
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
                tracing::error!(rental = login.rental, code = error.code(), %error, "session was not recorded: this rental will not be paid");
            }
        }
    }

    async fn run_kernel(&self, login: &Login, job: KernelJob) -> SessionReply {
        let id = login.rental;
        let over = || SessionReply::refused(session::UNKNOWN_RENTAL_CODE, "the rental is not running");
        if !self.covers_now(id) {
            return over();
        }
        self.record_opening(login).await;
        let _one_at_a_time = self.running.lock().await;
        let run = self.sandbox.run_kernel(job, &self.scratch_dir);
        // A kernel ends with its rental: dropping the future kills the whole process group.
        let outcome = tokio::select! {
            outcome = run => outcome,
            () = self.until_over(id) => return over(),
        };
        match outcome {
            Ok(result) => {
                self.metrics.event("kernel", "finished");
                tracing::info!(rental = id, elapsed_ms = result.elapsed_ms, isolation = ?result.isolation, "kernel finished");
                SessionReply::Finished(Box::new(result))
            }
            Err(error) => {
                self.metrics.event("kernel", "failed");
                tracing::info!(rental = id, code = error.code(), %error, "kernel failed");
                SessionReply::refused(error.code(), &error)
            }
        }
    }

    /// An SSH connection into the container.
    pub(super) async fn serve_shell(self: Arc<Self>, peer: PeerId, stream: NetStream) {
        if let Err((code, error)) = self.shell(&peer.to_bytes(), stream).await {
            self.metrics.event("shell", "failed");
            tracing::info!(%peer, code, %error, "shell ended");
        }
    }

    async fn shell(&self, peer: &[u8], mut stream: NetStream) -> Result<(), (&'static str, Box<dyn std::error::Error + Send + Sync>)> {
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let (login, authorized_keys) = self.log_in(peer, Purpose::Use, &mut reader, &mut writer).await.map_err(coded)?;
        let tenure = self.tenants.tenure(login.rental).map_err(coded)?;
        self.record_opening(&login).await;
        self.metrics.event("shell", "opened");
        tracing::info!(rental = login.rental, "renter is in");
        let end = tokio_util::sync::CancellationToken::new();
        let access = SshAccess {
            authorized_keys,
            agent: tenure.agent,
            env: vec![("GPUMKT_RENTAL".into(), login.rental.to_string())],
            notices: tenure.notices,
            end: end.clone(),
        };
        let serve = self.ssh.serve(stream, access);
        tokio::pin!(serve);
        let served = tokio::select! {
            served = &mut serve => served,
            () = self.until_over(login.rental) => {
                end.cancel();
                serve.await
            }
        };
        served.map(|_| ()).map_err(coded)
    }

    fn covers_now(&self, id: RentalId) -> bool {
        self.rental(id).is_some_and(|rental| rental.covers(unix_seconds()))
    }

    /// Returns once the rental is over. The clock decides as well as the chain: a chain out of reach prolongs nothing.
    async fn until_over(&self, id: RentalId) {
        let mut tick = tokio::time::interval(END_LOOK);
        loop {
            tick.tick().await;
            if !self.covers_now(id) {
                return;
            }
        }
    }
}

fn refused(error: &TenantError) -> SessionReply {
    SessionReply::refused(error.code(), error)
}

fn coded<E: Coded>(error: E) -> (&'static str, Box<dyn std::error::Error + Send + Sync>) {
    (error.code(), Box::new(error))
}
