//! The process that runs a job: limits itself, reads the job, launches the kernel, answers.

use std::ffi::CString;
use std::fs::File;
use std::time::Instant;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd;
use ocl::core::{self, ArgVal, DeviceId, Mem, PlatformId, ProgramBuildInfo, ProgramBuildInfoResult};

use super::frame::{self, Reply, Request};
use super::job::{KernelArg, KernelJob, Limits};

/// Largest file the process may write: the driver's cache of compiled kernels.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Open files: drivers use some dozens.
const MAX_OPEN_FILES: u64 = 256;
/// Processes and threads of the user: the driver starts a thread per core and a linker.
const MAX_PROCESSES: u64 = 4096;
/// Largest request: the node has checked the job before it sends it.
const MAX_REQUEST_BYTES: u64 = u32::MAX as u64;

/// Entry of the hidden subcommand `sandbox-exec`; returns the exit code. With `--probe` and a device index it only tells whether the
/// device is visible from here.
pub fn child_main() -> i32 {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    match run(&arguments) {
        Ok(()) => 0,
        Err(message) => {
            eprintln!("sandbox-exec: {message}");
            1
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    restrict_process()?;
    if let [flag, index] = arguments
        && flag == "--probe"
    {
        let index = index.parse().map_err(|_| format!("{index:?} is not a device index"))?;
        return find_device(index).map(|_| ());
    }
    // The kernel's printf writes to standard output: keep the answer's channel apart from it.
    let channel = unistd::dup(std::io::stdout()).map_err(|error| error.to_string())?;
    unistd::dup2_stdout(std::io::stderr()).map_err(|error| error.to_string())?;
    let request: Request = frame::read(&mut std::io::stdin().lock(), MAX_REQUEST_BYTES)?;
    let reply = match serve(&request) {
        Ok(reply) | Err(reply) => reply,
    };
    frame::write(&mut File::from(channel), &reply)
}

/// Nothing that follows can gain privileges, outlive the node or leave a core file.
fn restrict_process() -> Result<(), String> {
    let prepare = || {
        prctl::set_no_new_privs()?;
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        prctl::set_dumpable(false)?;
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        setrlimit(Resource::RLIMIT_FSIZE, MAX_FILE_BYTES, MAX_FILE_BYTES)?;
        setrlimit(Resource::RLIMIT_NOFILE, MAX_OPEN_FILES, MAX_OPEN_FILES)?;
        setrlimit(Resource::RLIMIT_NPROC, MAX_PROCESSES, MAX_PROCESSES)
    };
    prepare().map_err(|error: nix::Error| format!("cannot limit the process: {error}"))
}

/// Bounds memory and processor time. What the driver has mapped by now is not the job's.
fn restrict_resources(limits: &Limits, is_cpu: bool) -> Result<(), String> {
    let statm = std::fs::read_to_string("/proc/self/statm").map_err(|error| error.to_string())?;
    let pages = |column: usize| statm.split(' ').nth(column).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    let page_bytes = 4096;
    // GPU drivers reserve address space far beyond the memory they use, so only private data can be limited there.
    let (resource, used) = if is_cpu { (Resource::RLIMIT_AS, pages(0)) } else { (Resource::RLIMIT_DATA, pages(5)) };
    let bytes = (used * page_bytes).saturating_add(limits.memory_bytes);
    setrlimit(resource, bytes, bytes)
        .and_then(|()| setrlimit(Resource::RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds))
        .map_err(|error| format!("cannot limit the process: {error}"))
}

fn find_device(index: u64) -> Result<(PlatformId, DeviceId, bool), String> {
    let mut count = 0;
    // SAFETY: a null list of length zero with a valid count pointer is how OpenCL asks for the count; the wrapper would retry for
    // ten seconds where there is no platform.
    let status = unsafe { ocl::ffi::clGetPlatformIDs(0, std::ptr::null_mut(), &mut count) };
    if status != 0 || count == 0 {
        return Err("no OpenCL platform is visible".to_owned());
    }
    let mut devices = Vec::new();
    for platform in core::get_platform_ids().map_err(|error| error.to_string())? {
        let found = core::get_device_ids(platform, Some(core::DeviceType::ALL), None).unwrap_or_default();
        devices.extend(found.into_iter().map(|device| (platform, device)));
    }
    let found = usize::try_from(index).ok().and_then(|index| devices.get(index));
    let (platform, device) = found.ok_or_else(|| format!("device {index} is not visible"))?;
    let kind = core::get_device_info(device, core::DeviceInfo::Type).map_err(|error| error.to_string())?;
    let is_cpu = matches!(kind, core::DeviceInfoResult::Type(kind) if kind.contains(core::DeviceType::CPU));
    Ok((*platform, *device, is_cpu))
}

fn device_error(error: impl ToString) -> Reply {
    Reply::Device { message: error.to_string() }
}

fn serve(request: &Request) -> Result<Reply, Reply> {
    let (platform, device, is_cpu) = find_device(request.device_index).map_err(device_error)?;
    restrict_resources(&request.limits, is_cpu).map_err(device_error)?;
    let properties = core::ContextProperties::new().platform(platform);
    let context = core::create_context(Some(&properties), &[device], None, None).map_err(device_error)?;
    let queue = core::create_command_queue(&context, device, None).map_err(device_error)?;

    let job = &request.job;
    let text_bytes = request.limits.text_bytes as usize;
    let (program, build_log) = build(&context, device, job, text_bytes)?;
    let kernel = core::create_kernel(&program, &job.kernel_name).map_err(|_| Reply::UnknownKernel { log: build_log.clone() })?;
    let buffers = set_arguments(&context, &kernel, job)?;

    let size = |sizes: [u64; 3]| sizes.map(|items| items as usize);
    let started = Instant::now();
    // SAFETY: a kernel of a stranger may do anything to this process; that is why it is one of its own.
    unsafe {
        core::enqueue_kernel(
            &queue,
            &kernel,
            3,
            None,
            &size(job.global_size),
            job.local_size.map(size),
            None::<core::Event>,
            None::<&mut core::Event>,
        )
    }
    .map_err(device_error)?;
    core::finish(&queue).map_err(device_error)?;
    let elapsed_ms = started.elapsed().as_millis() as u64;

    let mut outputs = Vec::new();
    for (arg, buffer) in job.args.iter().zip(&buffers) {
        if let (Some(bytes), Some(buffer)) = (arg.returned_bytes(), buffer) {
            let mut content = vec![0u8; bytes as usize];
            // SAFETY: the read blocks, so that the destination outlives it.
            unsafe { core::enqueue_read_buffer(&queue, buffer, true, 0, &mut content, None::<core::Event>, None::<&mut core::Event>) }
                .map_err(device_error)?;
            outputs.push(content);
        }
    }
    Ok(Reply::Done { outputs, build_log, elapsed_ms })
}

fn build(context: &core::Context, device: DeviceId, job: &KernelJob, text_bytes: usize) -> Result<(core::Program, String), Reply> {
    let source = CString::new(job.source.as_str()).map_err(device_error)?;
    let options = CString::new(job.build_options.join(" ")).map_err(device_error)?;
    let program = core::create_program_with_source(context, &[source]).map_err(device_error)?;
    let built = core::build_program(&program, Some(&[device]), &options, None, None);
    let ask = |what| core::get_program_build_info(&program, device, what).map_err(device_error);
    let mut log = ask(ProgramBuildInfo::BuildLog)?.to_string();
    truncate(&mut log, text_bytes);
    // The wrapper reports success for a failed build with an empty log: ask for the status as well.
    let status = ask(ProgramBuildInfo::BuildStatus)?;
    let is_built = matches!(status, ProgramBuildInfoResult::BuildStatus(core::ProgramBuildStatus::Success));
    match built {
        Ok(()) if is_built => Ok((program, log)),
        Err(error) if log.trim().is_empty() => Err(Reply::Build { log: error.to_string() }),
        _ => Err(Reply::Build { log }),
    }
}

/// Cuts `text` to at most `limit` bytes at a character boundary.
fn truncate(text: &mut String, limit: usize) {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

/// Sets every argument and returns the buffers behind them, in the order of the arguments.
fn set_arguments(context: &core::Context, kernel: &core::Kernel, job: &KernelJob) -> Result<Vec<Option<Mem>>, Reply> {
    let mut buffers = Vec::with_capacity(job.args.len());
    for (position, arg) in (0..).zip(&job.args) {
        let buffer = match arg {
            KernelArg::Input(content) | KernelArg::InOut(content) => Some(buffer_with(context, content)?),
            KernelArg::Output(bytes) => Some(buffer_with(context, &vec![0; *bytes as usize])?),
            _ => None,
        };
        let set = |value: ArgVal<'_>| core::set_kernel_arg(kernel, position, value);
        match (arg, &buffer) {
            (_, Some(buffer)) => set(ArgVal::mem(buffer)),
            (KernelArg::Local(bytes), _) => set(ArgVal::local::<u8>(&(*bytes as usize))),
            (KernelArg::I32(value), _) => set(ArgVal::scalar(value)),
            (KernelArg::U32(value), _) => set(ArgVal::scalar(value)),
            (KernelArg::I64(value), _) => set(ArgVal::scalar(value)),
            (KernelArg::U64(value), _) => set(ArgVal::scalar(value)),
            (KernelArg::F32(value), _) => set(ArgVal::scalar(value)),
            (KernelArg::F64(value), _) => set(ArgVal::scalar(value)),
            _ => Ok(()),
        }
        .map_err(|error| Reply::Device { message: format!("argument {position}: {error}") })?;
        buffers.push(buffer);
    }
    Ok(buffers)
}

fn buffer_with(context: &core::Context, content: &[u8]) -> Result<Mem, Reply> {
    let flags = core::MEM_READ_WRITE | core::MEM_COPY_HOST_PTR;
    // SAFETY: COPY_HOST_PTR copies the content before the call returns.
    unsafe { core::create_buffer(context, flags, content.len(), Some(content)) }.map_err(device_error)
}
