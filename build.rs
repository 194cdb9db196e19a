//! Compiles the agent that runs inside renters' containers and leaves it where `sandbox` embeds it.
//!
//! It is built by the compiler of this very build and linked statically, so that it starts in any image and always speaks the
//! protocol of the node that carries it.

use std::{env, error::Error, path::Path, process::Command};

const SOURCE: &str = "src/guest/main.rs";

fn main() -> Result<(), Box<dyn Error>> {
    for input in ["build.rs", "src/guest", "src/types/agent.rs"] {
        println!("cargo::rerun-if-changed={input}");
    }
    // Only nodes start containers.
    if env::var_os("CARGO_FEATURE_NODE").is_none() {
        return Ok(());
    }
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
