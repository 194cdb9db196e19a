//! Compiles the agent that runs inside renters' containers and leaves it where `sandbox` embeds it.
//!
//! It is built by the compiler of this very build and linked statically, so that it starts in any image and always speaks the
//! protocol of the node that carries it.

use std::{env, error::Error, fs, path::Path, process::Command};

/// The built web interface. A build without it is complete but for that.
const DAPP: &str = "dapp/dist";
const SOURCE: &str = "src/guest/main.rs";

fn main() -> Result<(), Box<dyn Error>> {
    for input in ["build.rs", "src/guest", "src/types/agent.rs"] {
        println!("cargo::rerun-if-changed={input}");
    }
    // Only nodes start containers.
    if env::var_os("CARGO_FEATURE_NODE").is_none() {
        return Ok(());
    }
    embed_dapp()?;
    let target = env::var("TARGET")?;
    if !target.ends_with("-linux-gnu") {
        return Err(format!("gpumkt runs on GNU/Linux only, not on {target}: containers and their agent need its kernel").into());
    }
    let output = Path::new(&env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?).join("gpumkt-guest");
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--crate-name", "gpumkt_guest", "--crate-type", "bin", "--edition", "2024", "--target", &target]);
    rustc.args(["-C", "target-feature=+crt-static", "-C", "opt-level=s", "-C", "panic=abort", "-C", "strip=symbols"]);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = std::ffi::OsString::from("linker=");
        option.push(linker);
        rustc.arg("-C").arg(option);
    }
    let status = rustc.arg("-o").arg(&output).arg(SOURCE).status()?;
    if status.success() { Ok(()) } else { Err(format!("rustc could not compile {SOURCE}: {status}").into()) }
}

/// Writes the table of (path, content) that `http::api::assets` includes.
fn embed_dapp() -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    // A path that is missing would have this run at every build.
    if Path::new(DAPP).is_dir() {
        println!("cargo::rerun-if-changed={DAPP}");
        collect(Path::new(DAPP), &mut files)?;
    }
    files.sort();
    let mut table = String::from("&[\n");
    for path in files {
        let name = path.strip_prefix(DAPP).ok_or("a file outside of the folder")?.trim_start_matches('/');
        let full = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join(&path);
        table.push_str(&format!("    ({name:?}, include_bytes!({:?})),\n", full));
    }
    table.push_str("]\n");
    fs::write(Path::new(&env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?).join("assets.rs"), table)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_none_or(|extension| extension != "map") {
            files.push(path.to_str().ok_or("a file name that is not UTF-8")?.to_string());
        }
    }
    Ok(())
}
