//! Nodes whose clocks are wrong: a library that is preloaded into them, and a file that says how wrong.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

pub struct WrongClock {
    library: PathBuf,
    path: PathBuf,
    file: File,
}

impl WrongClock {
    /// Right, so far.
    pub fn new(folder: &Path, name: &str) -> Self {
        let (library, path) = (folder.join(format!("{name}.so")), folder.join(name));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/clock.c");
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status().unwrap();
        assert!(compiled.success(), "the C compiler that links Rust compiles this, too");
        std::fs::write(&path, [0u8; 16]).unwrap();
        // Written in place from here on: the nodes have the file mapped.
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        Self { library, path, file }
    }

    /// The process of this command goes by it.
    pub fn rules(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("GPUMKT_TEST_CLOCK", &self.path);
    }

    /// The wall clock is so far ahead.
    pub fn shift(&self, seconds: i64) {
        self.file.write_all_at(&seconds.to_le_bytes(), 0).unwrap();
    }

    /// Seconds pass as if each were `factor` of them. To be said before the node starts: a steady clock never jumps.
    pub fn hurry(&self, factor: i64) {
        self.file.write_all_at(&((factor - 1) * 1_000).to_le_bytes(), 8).unwrap();
    }
}
