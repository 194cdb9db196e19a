//! Offers that stand on a measurement: what `gpumkt bench --json` said of a device, against a class as the chain holds it.

use std::path::Path;

use serde_json::json;

use super::{ClientError, Clients, bench::BenchReport};
use crate::{
    chain::BlockId,
    types::{
        abi::WorkVerification,
        work::{LINE_BYTES, Profile},
    },
};

/// Largest result that is read.
const MAX_RESULT_BYTES: u64 = 1 << 20;

/// What the offer says of its device. Refuses a device that would miss the challenges of the class.
pub async fn attributes(clients: &Clients, class_version: u32, result: &Path) -> Result<String, ClientError> {
    let report = read(result)?;
    let call = WorkVerification::classProfileCall { classVersion: class_version };
    let full = clients.classic.call(clients.book.classic.work_verification, call, BlockId::latest()).await?.full;
    let profile = Profile::from(&full);
    let predicted_ms = check(&report, &profile)?;
    let told = json!({
        "device": report.device.name,
        "memory_mib": report.device.memory_bytes >> 20,
        "driver": report.device.driver,
        "full_ms": predicted_ms,
        "matmul_gmac_per_second": report.rates.matmul_gmac_per_second.round(),
        "declared": true,
    });
    Ok(told.to_string())
}

fn read(path: &Path) -> Result<BenchReport, ClientError> {
    let failed = |source| ClientError::File { path: path.into(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_RESULT_BYTES {
        return Err(unfit(format!("larger than {MAX_RESULT_BYTES} bytes")));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(|error| unfit(format!("not a result of `gpumkt bench --json`: {error}")))
}

/// Milliseconds that the full challenge should take on this device.
fn check(report: &BenchReport, profile: &Profile) -> Result<u64, ClientError> {
    if profile.memory_bytes == 0 {
        return Err(unfit("the chain knows no such class".into()));
    }
    // Lanes and roots take room beside the memory that is walked.
    let needed = profile.memory_bytes + u64::from(profile.lanes) * LINE_BYTES;
    if report.device.memory_bytes < needed {
        return Err(unfit(format!(
            "{} has {} MiB, the class needs {}",
            report.device.name,
            report.device.memory_bytes >> 20,
            needed >> 20
        )));
    }
    let is_same = report.profile.memory_bytes == profile.memory_bytes && report.profile.steps == profile.steps;
    let predicted_ms = if is_same { report.median.total_us } else { report.rates.predict_us(profile) } / 1_000;
    if predicted_ms > u64::from(profile.pass_ms) {
        return Err(unfit(format!(
            "{} needs {predicted_ms} ms for the full challenge, the class passes up to {} ms",
            report.device.name, profile.pass_ms
        )));
    }
    Ok(predicted_ms)
}

fn unfit(reason: String) -> ClientError {
    ClientError::Argument { argument: "--bench".into(), reason }
}
