//! Real clients in anvil's place: core-geth mines an Ethereum Classic of its own, go-ethereum runs in developer mode.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use alloy::{
    primitives::{Address, U256},
    signers::local::{MnemonicBuilder, coins_bip39::English},
};
use serde_json::{Value, json};

use super::{
    DevnetError,
    chains::{ACCOUNTS, MNEMONIC},
};
use crate::types::ChainKind;

/// Forks of Ethereum Classic up to Spiral, by core-geth's names for what they consist of. All stand from the first block on.
const SPIRAL: [&str; 36] = [
    "eip2FBlock",
    "eip7FBlock",
    "eip150Block",
    "eip155Block",
    "eip160Block",
    "eip161FBlock",
    "eip170FBlock",
    "eip100FBlock",
    "eip140FBlock",
    "eip198FBlock",
    "eip211FBlock",
    "eip212FBlock",
    "eip213FBlock",
    "eip214FBlock",
    "eip658FBlock",
    "eip145FBlock",
    "eip1014FBlock",
    "eip1052FBlock",
    "eip152FBlock",
    "eip1108FBlock",
    "eip1344FBlock",
    "eip1884FBlock",
    "eip2028FBlock",
    "eip2200FBlock",
    "eip2565FBlock",
    "eip2718FBlock",
    "eip2929FBlock",
    "eip2930FBlock",
    "eip3529FBlock",
    "eip3541FBlock",
    "eip3651FBlock",
    "eip3855FBlock",
    "eip3860FBlock",
    "eip6049FBlock",
    "ecip1099FBlock",
    "disposalBlock",
];
/// Receives the mined coins; nobody has its key.
const MINER: &str = "0x00000000000000000000000000000000000000aa";
const CLASSIC_GAS_LIMIT: u64 = 8_000_000;
const ETHEREUM_GAS_LIMIT: u64 = 30_000_000;
/// Balance of each account, whole coins.
const COINS: u64 = 100_000;

/// Where the clients' programs are: `core-geth` and `geth` in one folder.
#[derive(Debug, Clone)]
pub struct RealClients {
    pub folder: PathBuf,
}

impl RealClients {
    fn program(&self, kind: ChainKind) -> Result<PathBuf, DevnetError> {
        let path = self.folder.join(if kind == ChainKind::Classic { "core-geth" } else { "geth" });
        let missing =
            || DevnetError::Setup { what: path.display().to_string(), reason: "it is not there; scripts/clients.sh builds it".into() };
        if path.is_file() { Ok(path) } else { Err(missing()) }
    }

    /// Writes the chain's first block into `data`, which must not exist, and returns the command that goes on from it.
    pub(super) fn prepare(&self, kind: ChainKind, chain_id: u64, port: u16, data: &Path) -> Result<Command, DevnetError> {
        let program = self.program(kind)?;
        std::fs::create_dir_all(data).map_err(|error| DevnetError::file(data, &error))?;
        let genesis = match kind {
            ChainKind::Ethereum => ethereum_genesis(&program, chain_id)?,
            ChainKind::Classic => classic_genesis(chain_id)?,
        };
        let file = data.join("genesis.json");
        std::fs::write(&file, genesis.to_string()).map_err(|error| DevnetError::file(&file, &error))?;
        let mut init = Command::new(&program);
        run(init.arg("--datadir").arg(data).arg("init").arg(&file))?;
        let mut command = Command::new(program);
        command.arg("--datadir").arg(data).args(["--http", "--http.addr", "127.0.0.1", "--http.port", &port.to_string()]);
        command.args(["--http.api", "eth,net,web3,txpool", "--rpc.txfeecap", "0"]);
        command.args(["--nodiscover", "--maxpeers", "0", "--port", "0", "--authrpc.port", "0", "--ipcdisable"]);
        match kind {
            // A block each second, which nobody has to wait for: the developer mode's consensus is a clock.
            ChainKind::Ethereum => command.args(["--dev", "--dev.period", "1", "--miner.gaslimit", &ETHEREUM_GAS_LIMIT.to_string()]),
            // Blocks come at random, one each second on average, as proof of work finds them.
            ChainKind::Classic => command
                .args(["--networkid", &chain_id.to_string(), "--mine", "--fakepow.poisson", "--miner.threads", "1"])
                .args(["--miner.etherbase", MINER, "--miner.gasprice", "1000000000"])
                .args(["--miner.gaslimit", &CLASSIC_GAS_LIMIT.to_string()]),
        };
        Ok(command)
    }
}

/// The developer chain's own first block, with our chain id and accounts. Forks that no network has yet are left out.
fn ethereum_genesis(program: &Path, chain_id: u64) -> Result<Value, DevnetError> {
    let printed = run(Command::new(program).args(["--dev", "dumpgenesis"]))?;
    let invalid = |reason: String| DevnetError::Setup { what: "genesis of go-ethereum".into(), reason };
    let mut genesis: Value = serde_json::from_slice(&printed).map_err(|error| invalid(error.to_string()))?;
    let config = genesis.get_mut("config").and_then(Value::as_object_mut).ok_or_else(|| invalid("it has no config".into()))?;
    config.insert("chainId".into(), json!(chain_id));
    config.retain(|key, _| !matches!(key.as_str(), "amsterdamTime" | "bogotaTime"));
    genesis["gasLimit"] = json!(format!("{ETHEREUM_GAS_LIMIT:#x}"));
    let alloc = genesis.get_mut("alloc").and_then(Value::as_object_mut).ok_or_else(|| invalid("it has no alloc".into()))?;
    alloc.extend(funded()?);
    Ok(genesis)
}

fn classic_genesis(chain_id: u64) -> Result<Value, DevnetError> {
    let mut config = json!({
        "networkId": chain_id,
        "chainId": chain_id,
        "ethash": {},
        "ecip1017FBlock": 5_000_000,
        "ecip1017EraRounds": 5_000_000,
    });
    for fork in SPIRAL {
        config[fork] = json!(0);
    }
    Ok(json!({
        "config": config,
        "nonce": "0x0",
        "timestamp": "0x0",
        "extraData": "0x",
        "gasLimit": format!("{CLASSIC_GAS_LIMIT:#x}"),
        "difficulty": "0x20000",
        "alloc": Value::Object(funded()?),
    }))
}

/// The same accounts as anvil's.
fn funded() -> Result<serde_json::Map<String, Value>, DevnetError> {
    let failed =
        |error: alloy::signers::local::LocalSignerError| DevnetError::Setup { what: "devnet keys".into(), reason: error.to_string() };
    let wei = U256::from(COINS) * U256::from(10).pow(U256::from(18));
    let account = |index| {
        let signer = MnemonicBuilder::<English>::default().phrase(MNEMONIC).index(index).map_err(failed)?.build().map_err(failed)?;
        let address: Address = signer.address();
        Ok((format!("{address:x}"), json!({ "balance": format!("{wei:#x}") })))
    };
    (0..ACCOUNTS).map(account).collect()
}

/// Standard output of a command that ends by itself.
fn run(command: &mut Command) -> Result<Vec<u8>, DevnetError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |reason: String| DevnetError::Spawn { name: name.clone(), reason };
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() { Ok(output.stdout) } else { Err(failed(String::from_utf8_lossy(&output.stderr).into_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classic_chain_has_spiral_and_nothing_newer() {
        let genesis = classic_genesis(31_361).unwrap();
        let config = genesis["config"].as_object().unwrap();
        assert!(SPIRAL.iter().all(|fork| config[*fork] == 0));
        // No base fee, no BASEFEE opcode, no PREVRANDAO, nothing of Cancun.
        for newer in ["eip1559FBlock", "eip3198FBlock", "eip4399FBlock", "eip1153FBlock", "eip5656FBlock", "eip4844FBlock"] {
            assert!(!config.contains_key(newer), "{newer}");
        }
        assert_eq!(genesis["alloc"].as_object().unwrap().len(), ACCOUNTS as usize);
    }
}
