//! The compiled kernels of one device, and how they are launched.

use std::ffi::CString;
use std::path::PathBuf;

use alloy::primitives::B256;
use ocl::core::{self, ArgVal, ProgramInfo, ProgramInfoResult};
use ocl::prm::Ulong4;
use ocl::{Buffer, Context, Queue, flags};

use super::cache::ProgramCache;
use super::device::{DeviceInfo, DeviceKind, OpenDevice};
use super::error::GpuError;
use super::variant::Variant;

const SOURCES: [&str; 6] = [
    include_str!("kernels/keccak.cl"),
    include_str!("kernels/memory.cl"),
    include_str!("kernels/merkle.cl"),
    include_str!("kernels/matmul.cl"),
    include_str!("kernels/matmul_cpu.cl"),
    include_str!("kernels/matmul_mma.cl"),
];
/// The kernels of `limits`, with what they build on.
pub(super) const LIMIT_SOURCES: [&str; 3] =
    [include_str!("kernels/keccak.cl"), include_str!("kernels/memory.cl"), include_str!("kernels/limits.cl")];
/// Its program "binaries" hold no machine code, and it keeps a cache of its own (POCL_CACHE_DIR).
const POCL: &str = "Portable Computing Language";

/// Folds of a product are kept for one band of rows at a time. Larger bands launch less often; this is far below any GPU's
/// largest buffer and still gives one launch at least a million work-items.
const MAX_BAND_BYTES: u64 = 256 << 20;
/// 2 MiB per round with the levels above it, so that 16 rounds stay below 32 MiB whatever the device's memory is.
const MAX_HOST_NODES: u64 = 1 << 15;
/// Hashes lie on the device as this many u64.
pub(super) const WORDS_PER_HASH: usize = 4;
/// Hashes of one read: a transfer of 1 MiB keeps the bus busy and the host's copy small.
const READ_HASHES: u64 = 1 << 15;

/// A kernel argument.
pub(super) enum Arg<'a> {
    Buffer(&'a Buffer<u64>),
    U32(u32),
    U64(u64),
    Seed(B256),
    /// Local memory, in u32.
    Local(usize),
}

/// Kernels compiled for one device, with its queue.
pub(super) struct Kernels {
    pub info: DeviceInfo,
    pub variant: Variant,
    /// Keccak states per work-item.
    pub vector_width: usize,
    /// Lanes per work-item of the walk.
    pub chains: usize,
    /// Most bytes of folds that are kept at a time.
    pub max_band_bytes: u64,
    /// Widest level of a tree that stays in the host's memory.
    pub max_host_nodes: u64,
    /// Where wider levels go.
    pub spill_folder: PathBuf,
    queue: Queue,
    program: core::Program,
}

impl Kernels {
    /// Compiles all kernels for `open`, or takes them from `cache`.
    pub fn build(open: &OpenDevice, variant: Variant, cache: Option<&ProgramCache>) -> Result<Self, GpuError> {
        Self::build_sources(open, variant, &SOURCES, cache)
    }

    /// Compiles the kernels in `sources`.
    pub fn build_sources(open: &OpenDevice, variant: Variant, sources: &[&str], cache: Option<&ProgramCache>) -> Result<Self, GpuError> {
        if !variant.runs_on(&open.info, &open.features) {
            return Err(GpuError::Unsupported { device: open.info.name.clone(), variant: variant.name() });
        }
        let (vector_width, chains) = if open.info.kind == DeviceKind::Cpu { (8, 16) } else { (1, 1) };
        let context = Context::builder().platform(open.platform).devices(open.device).build().map_err(GpuError::call("clCreateContext"))?;
        let queue = Queue::new(&context, open.device, None).map_err(GpuError::call("clCreateCommandQueue"))?;
        let mut options = vec![variant.language().to_owned()];
        options.extend([("VECTOR_WIDTH", vector_width), ("CHAINS", chains)].map(|(name, value)| format!("-D{name}={value}")));
        options.extend(variant.macros().map(|(name, value)| format!("-D{name}={value}")));
        let spill_folder = cache.map_or_else(std::env::temp_dir, |cache| cache.folder().to_owned());
        let cache = cache.filter(|_| open.info.platform != POCL);
        let program = compile(open, &context, &sources.concat(), &options.join(" "), cache)?;
        let (vector_width, chains) = (vector_width as usize, chains as usize);
        Ok(Self {
            info: open.info.clone(),
            variant,
            vector_width,
            chains,
            max_band_bytes: MAX_BAND_BYTES,
            max_host_nodes: MAX_HOST_NODES,
            spill_folder,
            queue,
            program,
        })
    }

    /// Whether the device is a processor of this machine, shared with everything else that runs here.
    pub fn on_cpu(&self) -> bool {
        self.info.kind == DeviceKind::Cpu
    }

    /// Allocates `words` u64 on the device. What they hold is undefined.
    pub fn allocate(&self, words: u64) -> Result<Buffer<u64>, GpuError> {
        let needed_bytes = words.saturating_mul(8);
        if needed_bytes > self.info.max_buffer_bytes {
            return Err(GpuError::BufferTooLarge { device: self.info.name.clone(), needed_bytes, limit_bytes: self.info.max_buffer_bytes });
        }
        Buffer::builder()
            .queue(self.queue.clone())
            .flags(flags::MEM_READ_WRITE)
            .len(words as usize)
            .build()
            .map_err(|source| GpuError::Allocation { device: self.info.name.clone(), needed_bytes, source })
    }

    /// Launches `name` over `items` independent work-items and waits for it.
    pub fn run(&self, name: &'static str, items: u64, args: &[Arg<'_>]) -> Result<(), GpuError> {
        self.run_rows(name, items, 1, args)
    }

    /// Launches `name` over `items` by `rows` independent work-items and waits for it; a kernel ignores items past its count.
    pub fn run_rows(&self, name: &'static str, items: u64, rows: u64, args: &[Arg<'_>]) -> Result<(), GpuError> {
        // One work-item of a CPU device fills a core's vector unit by itself; a GPU wants whole warps.
        let local = if self.info.kind == DeviceKind::Cpu { 1 } else { 64 };
        let global = items.next_multiple_of(local);
        self.run_groups(name, [global as usize, rows as usize], [local as usize, 1], args)
    }

    /// Launches `name` with an exact geometry and waits for it.
    pub fn run_groups(&self, name: &'static str, global: [usize; 2], local: [usize; 2], args: &[Arg<'_>]) -> Result<(), GpuError> {
        let kernel = core::create_kernel(&self.program, name).map_err(GpuError::call(name))?;
        for (position, arg) in (0..).zip(args) {
            let set = |value: ArgVal<'_>| core::set_kernel_arg(&kernel, position, value).map_err(GpuError::call(name));
            match arg {
                Arg::Buffer(buffer) => set(ArgVal::mem(buffer.as_core()))?,
                Arg::U32(value) => set(ArgVal::scalar(value))?,
                Arg::U64(value) => set(ArgVal::scalar(value))?,
                Arg::Seed(seed) => set(ArgVal::vector(&seed_vector(seed)))?,
                Arg::Local(words) => set(ArgVal::local::<u32>(words))?,
            }
        }
        let (global, local) = ([global[0], global[1], 1], [local[0], local[1], 1]);
        // SAFETY: every kernel stays inside its buffers for the counts it is given; the stages size the buffers for them.
        let launched = unsafe {
            core::enqueue_kernel(&self.queue, &kernel, 2, None, &global, Some(local), None::<core::Event>, None::<&mut core::Event>)
        };
        launched.map_err(GpuError::call(name))?;
        self.queue.finish().map_err(GpuError::call(name))
    }

    /// Reads `count` hashes from number `first` on and hands them to `take`, a bounded number at a time.
    pub fn read_hashes(
        &self,
        buffer: &Buffer<u64>,
        first: u64,
        count: u64,
        mut take: impl FnMut(&[B256]) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        let mut words = vec![0u64; count.min(READ_HASHES) as usize * WORDS_PER_HASH];
        let mut hashes = Vec::with_capacity(count.min(READ_HASHES) as usize);
        let mut next = first;
        while next < first + count {
            words.truncate((first + count - next).min(READ_HASHES) as usize * WORDS_PER_HASH);
            buffer.cmd().read(&mut words).offset(next as usize * WORDS_PER_HASH).enq().map_err(GpuError::call("clEnqueueReadBuffer"))?;
            hashes.clear();
            hashes.extend(words.chunks_exact(WORDS_PER_HASH).map(hash_from_words));
            take(&hashes)?;
            next += hashes.len() as u64;
        }
        Ok(())
    }
}

/// Builds `source`: from the binary of an earlier build where the cache has one that the driver still takes.
fn compile(
    open: &OpenDevice,
    context: &Context,
    source: &str,
    options: &str,
    cache: Option<&ProgramCache>,
) -> Result<core::Program, GpuError> {
    let refused = |log: String| GpuError::Build { device: open.info.name.clone(), log };
    let options_text = CString::new(options).map_err(|error| refused(error.to_string()))?;
    let build = |program: &core::Program| core::build_program(program, Some(&[open.device.as_core()]), &options_text, None, None);
    let info = &open.info;
    let key = ProgramCache::key(&[&info.name, &info.vendor, &info.platform, &info.driver, options, source]);
    if let Some((cache, binary)) = cache.and_then(|cache| Some((cache, cache.load(key)?))) {
        let loaded = core::create_program_with_binary(context.as_core(), &[*open.device.as_core()], &[&binary]);
        match loaded.and_then(|program| build(&program).map(|()| program)) {
            Ok(program) => return Ok(program),
            Err(error) => {
                tracing::debug!(%error, "the driver refuses a program of its own, compiling again");
                cache.remove(key);
            }
        }
    }
    let text = CString::new(source).map_err(|error| refused(error.to_string()))?;
    let program = core::create_program_with_source(context.as_core(), &[text]).map_err(GpuError::call("clCreateProgramWithSource"))?;
    build(&program).map_err(|error| refused(error.to_string()))?;
    if let (Some(cache), Ok(ProgramInfoResult::Binaries(binaries))) = (cache, core::get_program_info(&program, ProgramInfo::Binaries))
        && let Some(binary) = binaries.first().filter(|binary| !binary.is_empty())
    {
        cache.store(key, binary);
    }
    Ok(program)
}

/// Digests lie in device memory in their own byte order, and the device is little-endian.
fn hash_from_words(words: &[u64]) -> B256 {
    let mut hash = B256::ZERO;
    for (bytes, word) in hash.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    hash
}

fn seed_vector(seed: &B256) -> Ulong4 {
    let mut words = [0u64; 4];
    for (word, bytes) in words.iter_mut().zip(seed.chunks_exact(8)) {
        *word = bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
    }
    Ulong4::new(words[0], words[1], words[2], words[3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::device;

    const SOURCE: &str = "__kernel void fill(__global ulong *to) { to[get_global_id(0)] = VALUE; }";

    fn built(open: &OpenDevice, cache: &ProgramCache, options: &str) -> u64 {
        let context = Context::builder().platform(open.platform).devices(open.device).build().unwrap();
        let queue = Queue::new(&context, open.device, None).unwrap();
        let program = compile(open, &context, SOURCE, options, Some(cache)).unwrap();
        let (info, variant) = (open.info.clone(), Variant::Portable);
        let spill_folder = std::env::temp_dir();
        let max_band_bytes = MAX_BAND_BYTES;
        let (vector_width, chains, max_host_nodes) = (1, 1, MAX_HOST_NODES);
        let kernels = Kernels { info, variant, vector_width, chains, max_band_bytes, max_host_nodes, spill_folder, queue, program };
        let buffer = kernels.allocate(4).unwrap();
        kernels.run_groups("fill", [4, 1], [1, 1], &[Arg::Buffer(&buffer)]).unwrap();
        let mut first = None;
        kernels
            .read_hashes(&buffer, 0, 1, |hashes| {
                first = Some(hashes[0][0]);
                Ok(())
            })
            .unwrap();
        first.unwrap().into()
    }

    #[test]
    fn programs_come_from_the_cache_and_damaged_ones_are_compiled_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ProgramCache::new(folder.path());
        let open = device::open(0).unwrap();
        let entries = || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        assert_eq!(built(&open, &cache, "-DVALUE=7"), 7);
        let [entry] = entries().try_into().unwrap();
        assert_eq!(built(&open, &cache, "-DVALUE=7"), 7);
        assert_eq!(entries().len(), 1);
        std::fs::write(&entry, b"damaged").unwrap();
        assert_eq!(built(&open, &cache, "-DVALUE=7"), 7);
        assert_eq!(built(&open, &cache, "-DVALUE=9"), 9);
        assert_eq!(entries().len(), 2);
    }
}
