//! A bad line in user space, for kernels without netem: bytes come late, and where a packet would have been lost, later still.

use std::{
    net::SocketAddr,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rand::Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Instant,
};

/// Bytes under way in one direction, in pieces: a sender waits beyond.
const PIECES: usize = 256;
const PIECE_BYTES: usize = 16 * 1024;
/// What TCP waits, at least, before it sends a lost packet again.
const RESENT_AFTER: Duration = Duration::from_millis(200);

/// How bad the line is; changes take effect at once.
#[derive(Debug, Default)]
pub struct Quality {
    pub delay_ms: AtomicU64,
    pub loss_permille: AtomicU64,
}

/// Carries connections from `listen` to `target` until its runtime ends.
pub async fn forward(listen: SocketAddr, target: SocketAddr, quality: Arc<Quality>) -> SocketAddr {
    let listener = TcpListener::bind(listen).await.unwrap();
    let bound = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let quality = Arc::clone(&quality);
            tokio::spawn(async move {
                let Ok(far) = TcpStream::connect(target).await else { return };
                let (near, far) = (near.into_split(), far.into_split());
                tokio::join!(carry(near.0, far.1, &quality), carry(far.0, near.1, &quality));
            });
        }
    });
    bound
}

async fn carry(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, quality: &Quality) {
    let (pieces, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
    let read = async move {
        let mut buffer = vec![0; PIECE_BYTES];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let is_lost = rand::rng().random_range(0..1_000) < quality.loss_permille.load(Ordering::Relaxed);
            let late = if is_lost { RESENT_AFTER } else { Duration::ZERO };
            let due = Instant::now() + Duration::from_millis(quality.delay_ms.load(Ordering::Relaxed)) + late;
            if pieces.send((due, buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        // In order, as TCP hands them over: what is late holds up what follows.
        while let Some((due, bytes)) = arriving.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
