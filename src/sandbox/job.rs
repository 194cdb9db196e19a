//! A renter's kernel job, its limits and its result.

use serde::{Deserialize, Serialize};

use super::error::SandboxError;

/// Most arguments of a kernel: more than any real one has, few enough that a job cannot be mostly bookkeeping.
const MAX_ARGS: usize = 64;
/// Longest kernel name.
const MAX_NAME_BYTES: usize = 256;
/// Most build options, and the longest one.
const MAX_BUILD_OPTIONS: usize = 32;
const MAX_BUILD_OPTION_BYTES: usize = 128;
/// Most work-items: above, a launch cannot finish within any sensible limit.
const MAX_WORK_ITEMS: u64 = 1 << 40;

/// Compiler options a renter may pass; definitions (`-DNAME` and `-DNAME=VALUE`) are checked apart.
const BUILD_OPTIONS: &[&str] = &[
    "-cl-std=CL1.0",
    "-cl-std=CL1.1",
    "-cl-std=CL1.2",
    "-cl-std=CL2.0",
    "-cl-std=CL3.0",
    "-cl-denorms-are-zero",
    "-cl-fast-relaxed-math",
    "-cl-finite-math-only",
    "-cl-mad-enable",
    "-cl-no-signed-zeros",
    "-cl-opt-disable",
    "-cl-single-precision-constant",
    "-cl-unsafe-math-optimizations",
    "-w",
    "-Werror",
];

/// One launch of one kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelJob {
    /// OpenCL C.
    pub source: String,
    pub kernel_name: String,
    pub global_size: [u64; 3],
    /// None lets the driver choose.
    pub local_size: Option<[u64; 3]>,
    /// Arguments in the kernel's order.
    pub args: Vec<KernelArg>,
    /// Entries of an allow-list, and `-DNAME` or `-DNAME=VALUE`.
    pub build_options: Vec<String>,
}

/// One kernel argument.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum KernelArg {
    /// A buffer that the kernel reads.
    Input(Vec<u8>),
    /// A zeroed buffer of this many bytes, returned after the run.
    Output(u64),
    /// A buffer with this content, returned after the run.
    InOut(Vec<u8>),
    /// Local memory of this many bytes.
    Local(u64),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    F32(f32),
    F64(f64),
}

impl KernelArg {
    /// Bytes of device memory behind the argument.
    fn buffer_bytes(&self) -> Option<u64> {
        match self {
            Self::Input(bytes) | Self::InOut(bytes) => Some(bytes.len() as u64),
            Self::Output(bytes) => Some(*bytes),
            _ => None,
        }
    }

    /// Bytes that come back after the run.
    #[cfg(feature = "node")]
    pub(super) fn returned_bytes(&self) -> Option<u64> {
        match self {
            Self::InOut(bytes) => Some(bytes.len() as u64),
            Self::Output(bytes) => Some(*bytes),
            _ => None,
        }
    }
}

/// What a job may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub source_bytes: u64,
    /// All buffers of a job together.
    pub buffer_bytes: u64,
    /// From the start of the process to its end, compilation included.
    pub wall_ms: u64,
    /// Host memory of the process beyond what the driver maps at its start.
    pub memory_bytes: u64,
    /// Processor time of the process over all cores.
    pub cpu_seconds: u64,
    /// What is kept of compiler messages, and of what the kernel prints.
    pub text_bytes: u64,
    /// Refuse jobs where bubblewrap does not work, instead of running them in a bare process.
    pub require_isolation: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            source_bytes: 256 << 10,
            buffer_bytes: 256 << 20,
            wall_ms: 30_000,
            memory_bytes: 2 << 30,
            cpu_seconds: 300,
            text_bytes: 64 << 10,
            require_isolation: false,
        }
    }
}

/// What stands between a job and the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Namespaces without network, a read-only view of the system's libraries, private /tmp, resource limits.
    Bubblewrap,
    /// A process of the same user with resource limits only.
    Process,
}

/// What a job returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelResult {
    /// Contents of the output and in-out buffers, in the order of the arguments.
    pub outputs: Vec<Vec<u8>>,
    /// Messages of the compiler, possibly cut.
    pub build_log: String,
    /// What the kernel and the driver printed, possibly cut.
    pub printed: String,
    /// Time of the launch alone.
    pub elapsed_ms: u64,
    pub isolation: Isolation,
}

impl KernelJob {
    /// Checks everything that can be checked without a device.
    pub fn validate(&self, limits: &Limits) -> Result<(), SandboxError> {
        within("bytes of source", self.source.len() as u64, limits.source_bytes)?;
        within("arguments", self.args.len() as u64, MAX_ARGS as u64)?;
        within("bytes of kernel name", self.kernel_name.len() as u64, MAX_NAME_BYTES as u64)?;
        if !is_identifier(&self.kernel_name) {
            return refuse(format!("{:?} is not the name of a kernel", self.kernel_name));
        }
        check_source(&self.source)?;
        self.check_sizes()?;
        self.check_buffers(limits)?;
        within("build options", self.build_options.len() as u64, MAX_BUILD_OPTIONS as u64)?;
        match self.build_options.iter().find(|option| !is_allowed_option(option)) {
            Some(option) => refuse(format!("build option {option:?} is not allowed")),
            None => Ok(()),
        }
    }

    /// Bytes of all returned buffers.
    #[cfg(feature = "node")]
    pub(super) fn returned_bytes(&self) -> u64 {
        self.args.iter().filter_map(KernelArg::returned_bytes).fold(0, u64::saturating_add)
    }

    fn check_sizes(&self) -> Result<(), SandboxError> {
        let product = |sizes: &[u64; 3]| sizes.iter().fold(1u64, |items, size| items.saturating_mul(*size));
        within("work-items", product(&self.global_size), MAX_WORK_ITEMS)?;
        let local = self.local_size.unwrap_or([1; 3]);
        if self.global_size.contains(&0) || local.contains(&0) {
            return refuse("sizes must be at least 1 in every dimension".to_owned());
        }
        let divides = self.global_size.iter().zip(&local).all(|(global, local)| global.is_multiple_of(*local));
        if !divides {
            return refuse("the local size must divide the global size in every dimension".to_owned());
        }
        Ok(())
    }

    fn check_buffers(&self, limits: &Limits) -> Result<(), SandboxError> {
        let mut total = 0u64;
        for arg in &self.args {
            let local = if let KernelArg::Local(bytes) = arg { Some(*bytes) } else { None };
            if arg.buffer_bytes().or(local) == Some(0) {
                return refuse("a buffer must have at least one byte".to_owned());
            }
            total = total.saturating_add(arg.buffer_bytes().unwrap_or(0));
        }
        within("bytes of buffers", total, limits.buffer_bytes)
    }
}

fn refuse(reason: String) -> Result<(), SandboxError> {
    Err(SandboxError::Job { reason })
}

fn within(what: &'static str, asked: u64, limit: u64) -> Result<(), SandboxError> {
    if asked > limit {
        return Err(SandboxError::TooLarge { what, asked, limit });
    }
    Ok(())
}

/// A compiler on the provider's machine would read files there: a job is one file and has nothing to include. Inline assembly can
/// read files as well (`.incbin`). Spliced lines are joined first, as the compiler does.
fn check_source(source: &str) -> Result<(), SandboxError> {
    if source.contains('\0') {
        return refuse("the source has a zero byte".to_owned());
    }
    let joined = source.replace("\\\r\n", "").replace("\\\n", "").replace("??/\n", "");
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let forbidden = ["include", "include_next", "import", "embed", "asm", "__asm", "__asm__", "__has_include", "include_alias"];
    match joined.split(|c: char| !is_word(c)).find(|word| forbidden.contains(word)) {
        Some(word) => refuse(format!("the source uses {word:?}, which jobs may not")),
        None if joined.contains("##") || joined.contains("%:%:") => refuse("the source pastes tokens (##), which jobs may not".to_owned()),
        None => Ok(()),
    }
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_') && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_allowed_option(option: &str) -> bool {
    if option.len() > MAX_BUILD_OPTION_BYTES {
        return false;
    }
    let Some(definition) = option.strip_prefix("-D") else {
        return BUILD_OPTIONS.contains(&option);
    };
    let (name, value) = definition.split_once('=').unwrap_or((definition, "1"));
    // Letters and digits only: a value may not smuggle another option in, nor a keyword that the source may not use.
    let is_value = value.chars().all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c));
    is_identifier(name) && !value.is_empty() && is_value && check_source(value).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> KernelJob {
        KernelJob {
            source: "__kernel void f(__global uchar *a) { a[0] = 1; }".to_owned(),
            kernel_name: "f".to_owned(),
            global_size: [1, 1, 1],
            local_size: None,
            args: vec![KernelArg::Output(1)],
            build_options: vec!["-cl-std=CL1.2".to_owned(), "-DN=16".to_owned(), "-DFAST".to_owned()],
        }
    }

    #[test]
    fn a_sensible_job_is_accepted() {
        assert!(job().validate(&Limits::default()).is_ok());
    }

    #[test]
    fn each_limit_refuses() {
        let limits = Limits { source_bytes: 100, buffer_bytes: 1000, ..Limits::default() };
        let cases: Vec<(KernelJob, &str)> = vec![
            (KernelJob { source: "x".repeat(101), ..job() }, "bytes of source"),
            (KernelJob { args: vec![KernelArg::Output(600), KernelArg::Input(vec![0; 401])], ..job() }, "buffers"),
            (KernelJob { args: vec![KernelArg::Output(u64::MAX), KernelArg::Output(u64::MAX)], ..job() }, "buffers"),
            (KernelJob { args: vec![KernelArg::Output(0)], ..job() }, "at least one byte"),
            (KernelJob { args: vec![KernelArg::U32(0); 65], ..job() }, "arguments"),
            (KernelJob { global_size: [1 << 39, 4, 1], ..job() }, "work-items"),
            (KernelJob { global_size: [1, 0, 1], ..job() }, "at least 1"),
            (KernelJob { global_size: [3, 1, 1], local_size: Some([2, 1, 1]), ..job() }, "divide"),
            (KernelJob { kernel_name: "f\"; rm".to_owned(), ..job() }, "name of a kernel"),
            (KernelJob { kernel_name: String::new(), ..job() }, "name of a kernel"),
            (KernelJob { build_options: vec!["-I/etc".to_owned()], ..job() }, "not allowed"),
            (KernelJob { build_options: vec!["-DA=1 -I/etc".to_owned()], ..job() }, "not allowed"),
            (KernelJob { build_options: vec!["-D=1".to_owned()], ..job() }, "not allowed"),
            (KernelJob { build_options: vec!["-DX=asm".to_owned()], ..job() }, "not allowed"),
        ];
        for (job, reason) in cases {
            let error = job.validate(&limits).expect_err(reason);
            assert!(error.to_string().contains(reason), "{error} does not say {reason}");
        }
    }

    #[test]
    fn sources_that_read_the_providers_files_are_refused() {
        for source in [
            "#include \"/etc/passwd\"",
            "# /**/ include </etc/passwd>",
            "#inc\\\nlude \"/etc/passwd\"",
            "%:include \"/etc/passwd\"",
            "asm(\".incbin \\\"/etc/passwd\\\"\");",
            "#define J(a, b) a##b\nJ(as, m)(\"\");",
            "#if __has_include(\"/root/.ssh/id_ed25519\")",
            "x\0y",
        ] {
            let refused = KernelJob { source: source.to_owned(), ..job() }.validate(&Limits::default());
            assert!(matches!(refused, Err(SandboxError::Job { .. })), "{source:?} was accepted");
        }
    }
}
