//! Messages between the node and the process that runs a job: four bytes of length, then postcard.

use std::io::{Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::job::{KernelJob, Limits};

/// What the node sends.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub device_index: u64,
    pub limits: Limits,
    pub job: KernelJob,
}

/// What comes back.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Reply {
    Done { outputs: Vec<Vec<u8>>, build_log: String, elapsed_ms: u64 },
    Build { log: String },
    UnknownKernel { log: String },
    Device { message: String },
}

/// Bytes of a message besides the buffers and texts in it.
pub(super) const OVERHEAD_BYTES: u64 = 64 << 10;

/// Encodes a message with its length in front.
pub(super) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, String> {
    let mut frame = postcard::to_extend(message, vec![0; 4]).map_err(|error| error.to_string())?;
    let length = u32::try_from(frame.len() - 4).map_err(|_| "message above 4 GiB".to_owned())?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// The length that a frame announces, if it is at most `limit`.
pub(super) fn announced_length(header: [u8; 4], limit: u64) -> Result<usize, String> {
    let length = u32::from_be_bytes(header);
    if u64::from(length) > limit {
        return Err(format!("{length} bytes announced, {limit} allowed"));
    }
    Ok(length as usize)
}

/// Decodes the content of a frame; bytes left over are an error.
pub(super) fn decode<T: DeserializeOwned>(content: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(content) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(format!("{} bytes after the message", rest.len())),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads one frame from a blocking source.
pub(super) fn read<T: DeserializeOwned>(source: &mut impl Read, limit: u64) -> Result<T, String> {
    let mut header = [0; 4];
    source.read_exact(&mut header).map_err(|error| error.to_string())?;
    let mut content = vec![0; announced_length(header, limit)?];
    source.read_exact(&mut content).map_err(|error| error.to_string())?;
    decode(&content)
}

/// Writes one frame to a blocking sink.
pub(super) fn write<T: Serialize>(sink: &mut impl Write, message: &T) -> Result<(), String> {
    let frame = encode(message)?;
    sink.write_all(&frame).and_then(|()| sink.flush()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_bounded_and_exact() {
        let reply = Reply::Device { message: "m".repeat(100) };
        let frame = encode(&reply).unwrap();
        assert_eq!(read::<Reply>(&mut frame.as_slice(), 1000), Ok(reply));
        assert!(read::<Reply>(&mut frame.as_slice(), 50).is_err());
        assert!(read::<Reply>(&mut &frame[..50], 1000).is_err());
        let mut longer = frame.clone();
        longer.push(0);
        longer[3] += 1;
        assert!(read::<Reply>(&mut longer.as_slice(), 1000).unwrap_err().contains("after the message"));
        assert!(read::<Reply>(&mut [0, 0, 0, 3, 0xff, 0xff, 0xff].as_slice(), 1000).is_err());
    }
}
