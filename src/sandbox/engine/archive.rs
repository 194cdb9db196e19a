//! Image archives on the provider's own disk.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use sha2::{Digest, Sha256};

const BLOCK: u64 = 512;
/// Entries that are looked at before an archive is taken for a root file system: image archives have a few per layer.
const MAX_ENTRIES: usize = 4_096;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Layers with their description, as `docker save` and `podman save` write them.
    Image,
    /// The files of a system.
    RootFileSystem,
    /// Compressed: only the engine can tell.
    Unknown,
}

/// An archive as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    pub content: Content,
    /// Lower-case hexadecimal SHA-256 of the file.
    pub hash: String,
    pub size_bytes: u64,
}

/// Reads the whole file once; blocks.
pub fn examine(path: &Path) -> Result<Archive, String> {
    let explain = |error: std::io::Error| error.to_string();
    let mut file = File::open(path).map_err(explain)?;
    let metadata = file.metadata().map_err(explain)?;
    if !metadata.is_file() {
        return Err("it is not a file".into());
    }
    let content = content(&mut file)?;
    file.rewind().map_err(explain)?;
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut hasher).map_err(explain)?;
    let hash = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Archive { content, hash, size_bytes: metadata.len() })
}

fn content(file: &mut (impl Read + Seek)) -> Result<Content, String> {
    let mut at = 0;
    for entry in 0..MAX_ENTRIES {
        let mut header = [0u8; BLOCK as usize];
        file.seek(SeekFrom::Start(at)).map_err(|error| error.to_string())?;
        if let Err(error) = file.read_exact(&mut header) {
            // An archive may end without its two empty blocks.
            return if entry > 0 { Ok(Content::RootFileSystem) } else { Err(format!("it is not a tar: {error}")) };
        }
        if header.iter().all(|byte| *byte == 0) {
            return if entry > 0 { Ok(Content::RootFileSystem) } else { Err("it is empty".into()) };
        }
        if !is_header(&header) {
            return match entry {
                0 if is_compressed(&header) => Ok(Content::Unknown),
                _ => Err("it is not a tar".into()),
            };
        }
        let name = String::from_utf8_lossy(&header[..100]);
        let name = name.trim_end_matches('\0').trim_start_matches("./");
        if matches!(name, "manifest.json" | "oci-layout") {
            return Ok(Content::Image);
        }
        let size = octal(&header[124..136]).ok_or("an entry has no valid size")?;
        at = size
            .div_ceil(BLOCK)
            .checked_mul(BLOCK)
            .and_then(|bytes| at.checked_add(BLOCK)?.checked_add(bytes))
            .ok_or("an entry is too large")?;
    }
    Ok(Content::RootFileSystem)
}

fn is_header(header: &[u8; BLOCK as usize]) -> bool {
    let sum: u64 =
        header.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { u64::from(b' ') } else { u64::from(*byte) }).sum();
    octal(&header[148..156]) == Some(sum)
}

/// A number in the fields of a tar header: octal digits, or for large files a big-endian number with the highest bit set.
fn octal(field: &[u8]) -> Option<u64> {
    if field.first()? & 0x80 != 0 {
        let tail = field.len().checked_sub(8)?;
        let is_small = field.get(1..tail)?.iter().all(|byte| *byte == 0);
        return is_small.then(|| field[tail..].iter().fold(0, |value, byte| value << 8 | u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    let text = text.split(['\0', ' ']).next()?;
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn is_compressed(start: &[u8]) -> bool {
    let marks: [&[u8]; 4] = [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd], &[0xfd, b'7', b'z', b'X', b'Z'], b"BZh"];
    marks.iter().any(|mark| start.starts_with(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, size: usize) -> Vec<u8> {
        let mut header = vec![0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header.resize(512 + size.div_ceil(512) * 512, b'x');
        header
    }

    fn examined(bytes: &[u8]) -> Result<Content, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        examine(file.path()).map(|archive| archive.content)
    }

    #[test]
    fn images_and_root_file_systems_are_told_apart() {
        let end = vec![0; 1024];
        let root = [entry("./etc/", 0), entry("./etc/passwd", 600), entry("./opt/manifest.json", 5), end.clone()].concat();
        assert_eq!(examined(&root), Ok(Content::RootFileSystem));
        assert_eq!(examined(&[entry("layer.tar", 1_025), entry("manifest.json", 3), end.clone()].concat()), Ok(Content::Image));
        assert_eq!(examined(&[entry("blobs/", 0), entry("./oci-layout", 3), end].concat()), Ok(Content::Image));
        for filler in [0, 0xff] {
            assert_eq!(examined(&[&[0x1f, 0x8b][..], &[filler; 600]].concat()), Ok(Content::Unknown));
        }
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        for bytes in [&b""[..], b"short", &[b'a'; 2_000], &[0; 2_000]] {
            assert!(examined(bytes).is_err(), "{} bytes", bytes.len());
        }
        let mut huge = entry("a", 0);
        huge[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        huge[148..156].fill(b' ');
        let sum: u64 = huge.iter().map(|byte| u64::from(*byte)).sum();
        huge[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        assert!(examined(&huge).is_err());
        assert!(examine(Path::new("/dev/null")).is_err());
    }
}
