//! The filter of system calls in containers that bubblewrap starts.
//!
//! It closes what a renter has no use for and where the kernel's holes were: new namespaces, mounts, keys, programs in the kernel.
//! Everything else stays open, because GPU drivers and frameworks use more of the kernel than any list would foresee.

use nix::libc::{self, c_long};

/// `struct sock_filter`, see `man 2 seccomp`.
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    operand: u32,
}

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const FAIL: u32 = 0x0005_0000;

/// Places in `struct seccomp_data`; of arguments the lower half.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;
const SECOND_ARGUMENT: u32 = 24;

const X86_64: u32 = 0xc000_003e;
/// Bit of the numbers of the x32 interface.
const X32: u32 = 0x4000_0000;
/// Types characters into a terminal, and selects on a console: ways into whoever owns it.
const TERMINAL_REQUESTS: [u32; 2] = [0x5412, 0x541c];
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

const REFUSED: &[c_long] = &[
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_vhangup,
];

/// The program in the form that `bwrap --seccomp` reads.
pub fn filter() -> Vec<u8> {
    let test = |code, operand, if_true, if_false| Instruction { code, if_true, if_false, operand };
    let load = |place| test(LOAD, place, 0, 0);
    let end = |verdict| test(RETURN, verdict, 0, 0);
    let refuse = |errno: i32| end(FAIL | errno as u32);
    let mut program = vec![load(ARCHITECTURE), test(JUMP_EQUAL, X86_64, 1, 0), end(KILL), load(NUMBER)];
    program.extend([test(JUMP_AT_LEAST, X32, 0, 1), refuse(libc::ENOSYS)]);
    // Its flags lie in memory, where a filter cannot look; the C library falls back to clone.
    program.extend([test(JUMP_EQUAL, libc::SYS_clone3 as u32, 0, 1), refuse(libc::ENOSYS)]);
    for number in REFUSED {
        program.extend([test(JUMP_EQUAL, *number as u32, 0, 1), refuse(libc::EPERM)]);
    }
    program.extend([test(JUMP_EQUAL, libc::SYS_clone as u32, 0, 4), load(FIRST_ARGUMENT), test(JUMP_ANY_BIT, NAMESPACES, 0, 1)]);
    program.extend([refuse(libc::EPERM), end(ALLOW), test(JUMP_EQUAL, libc::SYS_ioctl as u32, 0, 4), load(SECOND_ARGUMENT)]);
    program.extend([test(JUMP_EQUAL, TERMINAL_REQUESTS[0], 1, 0), test(JUMP_EQUAL, TERMINAL_REQUESTS[1], 0, 1), refuse(libc::EPERM)]);
    program.push(end(ALLOW));
    program.iter().flat_map(Instruction::to_bytes).collect()
}

impl Instruction {
    fn to_bytes(&self) -> [u8; 8] {
        let ([a, b], [c, d, e, f]) = (self.code.to_ne_bytes(), self.operand.to_ne_bytes());
        [a, b, self.if_true, self.if_false, c, d, e, f]
    }
}
