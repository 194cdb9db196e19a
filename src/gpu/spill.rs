//! Lower levels of large trees in a file, so that the host's memory does not grow with the device's.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use alloy::primitives::B256;

use crate::rules::kernel::merkle::StoredLevels;

const HASH_BYTES: u64 = 32;

/// A file without a name: it is gone with its last handle, whatever happens to the process.
#[derive(Debug)]
pub(super) struct SpilledLevels {
    file: File,
    /// Nodes of the lowest level; each level above holds half as many and follows it.
    leaves: u64,
}

impl SpilledLevels {
    /// An empty file in `folder` for levels above `leaves` leaves, which must be a power of two.
    pub fn create(folder: &Path, leaves: u64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!("tree.{:032x}", rand::random::<u128>()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Self { file, leaves })
    }

    /// Appends nodes: the levels from the leaves upwards, each from its first node on.
    pub fn append(&mut self, nodes: &[B256]) -> io::Result<()> {
        self.file.write_all(nodes.as_flattened_bytes())
    }
}

/// A slice of hashes as bytes.
trait Flattened {
    fn as_flattened_bytes(&self) -> &[u8];
}

impl Flattened for [B256] {
    fn as_flattened_bytes(&self) -> &[u8] {
        // SAFETY: B256 is a transparent wrapper of [u8; 32], which has no padding and an alignment of one.
        unsafe { std::slice::from_raw_parts(self.as_ptr().cast(), std::mem::size_of_val(self)) }
    }
}

impl StoredLevels for SpilledLevels {
    fn node(&self, level: usize, index: usize) -> Option<B256> {
        let nodes = self.leaves.checked_shr(level as u32).filter(|nodes| *nodes > index as u64)?;
        // The levels below hold leaves + leaves / 2 + … = 2 * (leaves - nodes) nodes.
        let position = 2 * (self.leaves - nodes) + index as u64;
        let mut node = B256::ZERO;
        self.file.read_exact_at(node.as_mut_slice(), position * HASH_BYTES).ok()?;
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_found_where_they_were_appended_and_the_folder_stays_empty() {
        let folder = tempfile::tempdir().unwrap();
        let mut levels = SpilledLevels::create(folder.path(), 8).unwrap();
        let nodes: Vec<B256> = (0..12u8).map(B256::repeat_byte).collect();
        levels.append(&nodes[..5]).unwrap();
        levels.append(&nodes[5..]).unwrap();
        assert_eq!(levels.node(0, 0), Some(nodes[0]));
        assert_eq!(levels.node(0, 7), Some(nodes[7]));
        assert_eq!(levels.node(0, 8), None);
        assert_eq!(levels.node(1, 3), Some(nodes[11]));
        assert_eq!(levels.node(2, 0), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
