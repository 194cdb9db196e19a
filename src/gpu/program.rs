//! The compiled kernels of one device, and how they are launched.

use alloy::primitives::B256;
use ocl::core::{self, ArgVal};
use ocl::prm::Ulong4;
use ocl::{Buffer, Context, Program, Queue, flags};

use super::device::{DeviceInfo, DeviceKind, OpenDevice};
use super::error::GpuError;

const SOURCES: [&str; 4] = [
    include_str!("kernels/keccak.cl"),
    include_str!("kernels/memory.cl"),
    include_str!("kernels/merkle.cl"),
    include_str!("kernels/matmul.cl"),
];

/// Folds of a product are kept for one band of rows at a time. Larger bands launch less often; this is far below any GPU's
/// largest buffer and still gives one launch at least a million work-items.
const MAX_BAND_BYTES: u64 = 256 << 20;
/// Hashes lie on the device as this many u64.
pub(super) const WORDS_PER_HASH: usize = 4;

/// How a device computes the product. All of them give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Float panels and register tiles, for CPUs.
    Panels,
    /// Packed bytes, local-memory tiles and integer sums, for any device.
    Portable,
    /// `Portable` with the four-byte dot product of NVIDIA (compute capability 6.1 and later).
    Dp4a,
}

impl Variant {
    /// Name for logs and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Panels => "panels",
            Self::Portable => "portable",
            Self::Dp4a => "dp4a",
        }
    }

    /// Variants worth trying on a device, the fastest first.
    pub(super) fn candidates(info: &DeviceInfo) -> &'static [Self] {
        match info.kind {
            DeviceKind::Cpu => &[Self::Panels, Self::Portable],
            _ if info.vendor.to_lowercase().contains("nvidia") => &[Self::Dp4a, Self::Portable],
            _ => &[Self::Portable],
        }
    }
}

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
    queue: Queue,
    program: Program,
}

impl Kernels {
    /// Compiles all kernels for `open`.
    pub fn build(open: &OpenDevice, variant: Variant) -> Result<Self, GpuError> {
        let (vector_width, chains) = if open.info.kind == DeviceKind::Cpu { (8, 16) } else { (1, 1) };
        let context = Context::builder().platform(open.platform).devices(open.device).build().map_err(GpuError::call("clCreateContext"))?;
        let queue = Queue::new(&context, open.device, None).map_err(GpuError::call("clCreateCommandQueue"))?;
        let program = Program::builder()
            .source(SOURCES.concat())
            .cmplr_opt("-cl-std=CL1.2")
            .cmplr_def("VECTOR_WIDTH", vector_width)
            .cmplr_def("CHAINS", chains)
            .cmplr_def("USE_DP4A", i32::from(variant == Variant::Dp4a))
            .devices(open.device)
            .build(&context)
            .map_err(|error| GpuError::Build { device: open.info.name.clone(), log: error.to_string() })?;
        let (vector_width, chains) = (vector_width as usize, chains as usize);
        Ok(Self { info: open.info.clone(), variant, vector_width, chains, max_band_bytes: MAX_BAND_BYTES, queue, program })
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
        let kernel = core::create_kernel(self.program.as_core(), name).map_err(GpuError::call(name))?;
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

    /// Reads `count` hashes from number `first` on.
    pub fn read_hashes(&self, buffer: &Buffer<u64>, first: u64, count: u64) -> Result<Vec<B256>, GpuError> {
        let mut words = vec![0u64; count as usize * WORDS_PER_HASH];
        buffer.cmd().read(&mut words).offset(first as usize * WORDS_PER_HASH).enq().map_err(GpuError::call("clEnqueueReadBuffer"))?;
        Ok(words.chunks_exact(WORDS_PER_HASH).map(hash_from_words).collect())
    }
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
