"""Which system calls a child that decodes may make, by name and number.

Numbers are (x86_64, aarch64), None where there is no such call; from asm/unistd_64.h and asm-generic/unistd.h.
"""

Numbers = tuple[int, int | None]

NEEDED: dict[str, Numbers] = {
    # memory
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "mremap": (25, 216), "madvise": (28, 233),
    "brk": (12, 214),
    # what it holds already; there is no call here that opens anything
    "read": (0, 63), "pread64": (17, 67), "lseek": (8, 62), "write": (1, 64), "writev": (20, 66),
    "recvmsg": (47, 212), "sendmsg": (46, 211), "fcntl": (72, 25), "fstat": (5, 80), "close": (3, 57),
    # threads and signals, its own
    "clone": (56, 220), "clone3": (435, 435), "set_robust_list": (273, 99), "rseq": (334, 293), "futex": (202, 98),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "getpid": (39, 172), "gettid": (186, 178),
    "tgkill": (234, 131), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "restart_syscall": (219, 128), "exit": (60, 93), "exit_group": (231, 94),
    # time, limits, chance
    "getrusage": (98, 165), "prlimit64": (302, 261), "clock_gettime": (228, 113), "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101), "getrandom": (318, 278),
}  # fmt: skip
"""`seccomp.CHECKS` looks at the arguments of some of them."""

TELLTALE: dict[str, Numbers] = {
    # to others
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242),
    # other programs and processes
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None), "kill": (62, 129),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_madvise": (440, 440),
    "kcmp": (312, 272),
    # memory that no limit counts
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196),
    # large doors into the kernel
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "mount": (165, 40), "umount2": (166, 39), "move_mount": (429, 429),
    "open_tree": (428, 428), "fsopen": (430, 430), "fsmount": (432, 432), "pivot_root": (155, 41),
    "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268), "open_by_handle_at": (304, 265),
    "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104), "setuid": (105, 146),
    "setgid": (106, 144), "setresuid": (117, 147), "setresgid": (119, 149), "setgroups": (116, 159),
    "capset": (126, 91), "personality": (135, 92), "seccomp": (317, 277), "landlock_create_ruleset": (444, 444),
}  # fmt: skip
"""What no decoder ever asks for: somebody else has taken the process over."""
