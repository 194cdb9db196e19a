//! Web3 secret storage v3, written with a strong scrypt and an address field, read from any strength.
//!
//! Source: <https://github.com/ethereum/wiki/wiki/Web3-Secret-Storage-Definition>.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use aes::cipher::{KeyIvInit, StreamCipher};
use alloy::{
    primitives::{Address, B256, hex, keccak256},
    signers::local::PrivateKeySigner,
};
use rand::TryRngCore;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::KeyError;

type Aes128Ctr = ctr::Ctr128BE<aes::Aes128>;

/// Cost of guessing a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// scrypt N = 2^17, r = 8: 128 MiB and about half a second a guess.
    Standard,
    /// scrypt N = 2^12: for throw-away keys of a devnet only.
    Devnet,
}

impl Strength {
    fn log_n(self) -> u8 {
        match self {
            Strength::Standard => 17,
            Strength::Devnet => 12,
        }
    }
}

/// Makes a new random key and writes it to `path`.
pub fn create_keystore(path: &Path, password: &SecretString, strength: Strength) -> Result<PrivateKeySigner, KeyError> {
    let signer = PrivateKeySigner::random();
    write_keystore(path, &signer, password, strength)?;
    Ok(signer)
}

/// Encrypts `signer` into a new file; an existing one is never touched.
pub fn write_keystore(path: &Path, signer: &PrivateKeySigner, password: &SecretString, strength: Strength) -> Result<(), KeyError> {
    let unwritable = |source| KeyError::Unwritable { path: path.into(), source };
    let salt = random_bytes::<32>().map_err(unwritable)?;
    let iv = random_bytes::<16>().map_err(unwritable)?;
    let derived = derive(password, &salt, strength.log_n()).map_err(|reason| KeyError::Malformed { path: path.into(), reason })?;
    let mut ciphertext = signer.to_bytes().0;
    apply_cipher(&derived, &iv, &mut ciphertext);
    let text = json!({
        "version": 3,
        "id": uuid_v4().map_err(unwritable)?,
        "address": hex::encode(signer.address()),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": hex::encode(iv) },
            "ciphertext": hex::encode(ciphertext),
            "kdf": "scrypt",
            "kdfparams": { "dklen": 32, "n": 1u64 << strength.log_n(), "p": 1, "r": 8, "salt": hex::encode(salt) },
            "mac": hex::encode(mac(&derived, &ciphertext)),
        }
    });
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(unwritable)?;
    }
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match opened {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Err(KeyError::Exists { path: path.into() }),
        other => other.map_err(unwritable)?,
    };
    file.write_all(text.to_string().as_bytes()).and_then(|()| file.sync_all()).map_err(unwritable)
}

/// Decrypts the keystore at `path`.
pub fn open_keystore(path: &Path, password: &SecretString) -> Result<PrivateKeySigner, KeyError> {
    let text = std::fs::read_to_string(path).map_err(|source| KeyError::Unreadable { path: path.into(), source })?;
    let malformed = |reason: &str| KeyError::Malformed { path: path.into(), reason: reason.into() };
    let value: Value = serde_json::from_str(&text).map_err(|error| malformed(&error.to_string()))?;
    let crypto = &value["crypto"];
    let field = |value: &Value, name: &str| -> Result<Vec<u8>, KeyError> {
        value.as_str().and_then(|text| hex::decode(text).ok()).ok_or_else(|| malformed(&format!("{name} is missing or not hex")))
    };
    if value["version"] != 3 || crypto["cipher"] != "aes-128-ctr" || crypto["kdf"] != "scrypt" {
        return Err(malformed("only version 3 with scrypt and aes-128-ctr is supported"));
    }
    let params = &crypto["kdfparams"];
    let n = params["n"].as_u64().unwrap_or(0);
    // Bounds keep a hostile file from taking all memory: 2^20 with r = 8 is 1 GiB.
    if !n.is_power_of_two() || !(1 << 10..=1 << 20).contains(&n) || params["r"] != 8 || params["p"] != 1 || params["dklen"] != 32 {
        return Err(malformed("scrypt parameters are outside n = 2^10..2^20, r = 8, p = 1, dklen = 32"));
    }
    let salt = field(&params["salt"], "salt")?;
    let iv: [u8; 16] = field(&crypto["cipherparams"]["iv"], "iv")?.try_into().map_err(|_| malformed("iv is not 16 bytes"))?;
    let mut key: Zeroizing<[u8; 32]> =
        Zeroizing::new(field(&crypto["ciphertext"], "ciphertext")?.try_into().map_err(|_| malformed("ciphertext is not 32 bytes"))?);
    let derived = derive(password, &salt, n.trailing_zeros() as u8).map_err(|reason| malformed(&reason))?;
    if field(&crypto["mac"], "mac")? != mac(&derived, &*key).as_slice() {
        return Err(KeyError::WrongPassword { path: path.into() });
    }
    apply_cipher(&derived, &iv, &mut key);
    let signer = PrivateKeySigner::from_bytes(&B256::from(*key)).map_err(|_| KeyError::InvalidKey)?;
    match value["address"].as_str().map(str::parse::<Address>) {
        Some(Ok(address)) if address != signer.address() => Err(malformed("the address field does not belong to the key")),
        _ => Ok(signer),
    }
}

/// Address of the keystore at `path`, which needs no password.
pub fn keystore_address(path: &Path) -> Result<Address, KeyError> {
    let text = std::fs::read_to_string(path).map_err(|source| KeyError::Unreadable { path: path.into(), source })?;
    let value: Value = serde_json::from_str(&text).map_err(|error| KeyError::Malformed { path: path.into(), reason: error.to_string() })?;
    let address = value["address"].as_str().and_then(|address| address.parse().ok());
    address.ok_or_else(|| KeyError::Malformed { path: path.into(), reason: "it names no address".into() })
}

/// Keystores in `folder` with their addresses; files that are none are passed over.
pub fn list_keystores(folder: &Path) -> Result<Vec<(PathBuf, Address)>, KeyError> {
    let entries = std::fs::read_dir(folder).map_err(|source| KeyError::Unreadable { path: folder.into(), source })?;
    let mut found: Vec<(PathBuf, Address)> = entries
        .flatten()
        .filter_map(|entry| {
            let text = std::fs::read_to_string(entry.path()).ok()?;
            let value: Value = serde_json::from_str(&text).ok()?;
            let address = value["address"].as_str()?.parse().ok()?;
            (value["version"] == 3).then(|| (entry.path(), address))
        })
        .collect();
    found.sort();
    Ok(found)
}

fn derive(password: &SecretString, salt: &[u8], log_n: u8) -> Result<Zeroizing<[u8; 32]>, String> {
    let params = scrypt::Params::new(log_n, 8, 1).map_err(|error| error.to_string())?;
    let mut derived = Zeroizing::new([0u8; 32]);
    scrypt::scrypt(password.expose_secret().as_bytes(), salt, &params, &mut *derived).map_err(|error| error.to_string())?;
    Ok(derived)
}

fn apply_cipher(derived: &[u8; 32], iv: &[u8; 16], data: &mut [u8; 32]) {
    let mut key = Zeroizing::new([0u8; 16]);
    key.copy_from_slice(&derived[..16]);
    Aes128Ctr::new((&*key).into(), iv.into()).apply_keystream(data);
}

fn mac(derived: &[u8; 32], ciphertext: &[u8]) -> B256 {
    let mut preimage = Zeroizing::new(Vec::with_capacity(48));
    preimage.extend_from_slice(&derived[16..]);
    preimage.extend_from_slice(ciphertext);
    keccak256(&*preimage)
}

fn random_bytes<const N: usize>() -> Result<[u8; N], std::io::Error> {
    let mut bytes = [0u8; N];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(bytes)
}

fn uuid_v4() -> Result<String, std::io::Error> {
    let mut bytes = random_bytes::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    Ok(format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Coded;

    #[test]
    fn opens_with_the_right_password_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let right = SecretString::from("right");
        let signer = create_keystore(&path, &right, Strength::Devnet).unwrap();
        assert_eq!(open_keystore(&path, &right).unwrap().address(), signer.address());
        assert_eq!(open_keystore(&path, &SecretString::from("wrong")).unwrap_err().code(), "E-KEY-003");
        assert_eq!(create_keystore(&path, &right, Strength::Devnet).unwrap_err().code(), "E-KEY-005");
        assert_eq!(list_keystores(folder.path()).unwrap(), [(path, signer.address())]);
    }

    #[test]
    fn other_wallets_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let signer = create_keystore(&path, &SecretString::from("pw"), Strength::Devnet).unwrap();
        let read = PrivateKeySigner::decrypt_keystore(&path, "pw").unwrap();
        assert_eq!(read.address(), signer.address());
    }

    #[test]
    fn hostile_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        for text in ["", "{}", "[1]", r#"{"version":3,"crypto":{"cipher":"aes-128-ctr","kdf":"scrypt","kdfparams":{"n":1073741824}}}"#] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(open_keystore(&path, &SecretString::from("pw")).unwrap_err().code(), "E-KEY-002");
        }
    }
}
