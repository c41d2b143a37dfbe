"""System-call numbers: name by number, for the calls that real static programs were seen to make or might.

Source: Linux v6.1 include/uapi/asm-generic/unistd.h (AArch64) and arch/x86/entry/syscalls/syscall_64.tbl.
"""

from __future__ import annotations

_AARCH64 = """
    17:getcwd 23:dup 24:dup3 25:fcntl 29:ioctl 33:mknodat 34:mkdirat 35:unlinkat 36:symlinkat 37:linkat
    38:renameat 43:statfs 44:fstatfs 45:truncate 46:ftruncate 48:faccessat 49:chdir 50:fchdir 52:fchmod
    53:fchmodat 54:fchownat 55:fchown 56:openat 57:close 59:pipe2 61:getdents64 62:lseek 63:read 64:write
    65:readv 66:writev 67:pread64 68:pwrite64 69:preadv 70:pwritev 71:sendfile 72:pselect6 73:ppoll 76:splice
    77:tee 78:readlinkat 79:newfstatat 80:fstat 81:sync 82:fsync 83:fdatasync 88:utimensat 93:exit 94:exit_group
    95:waitid 96:set_tid_address 98:futex 99:set_robust_list 101:nanosleep 102:getitimer 103:setitimer
    113:clock_gettime 114:clock_getres 115:clock_nanosleep 123:sched_getaffinity 124:sched_yield 129:kill
    130:tkill 131:tgkill 132:sigaltstack 133:rt_sigsuspend 134:rt_sigaction 135:rt_sigprocmask 136:rt_sigpending
    139:rt_sigreturn 144:setgid 146:setuid 147:setresuid 148:getresuid 149:setresgid 150:getresgid 153:times
    154:setpgid 155:getpgid 156:getsid 157:setsid 158:getgroups 159:setgroups 160:uname 163:getrlimit
    164:setrlimit 165:getrusage 166:umask 167:prctl 169:gettimeofday 172:getpid 173:getppid 174:getuid
    175:geteuid 176:getgid 177:getegid 178:gettid 179:sysinfo 198:socket 203:connect 205:getpeername 214:brk
    215:munmap 216:mremap 220:clone 221:execve 222:mmap 223:fadvise64 226:mprotect 232:mincore 233:madvise
    260:wait4 261:prlimit64 276:renameat2 278:getrandom 279:memfd_create 281:execveat 283:membarrier
    285:copy_file_range 291:statx 293:rseq 435:clone3 436:close_range 439:faccessat2
"""

_X86_64 = """
    0:read 1:write 2:open 3:close 4:stat 5:fstat 6:lstat 7:poll 8:lseek 9:mmap 10:mprotect 11:munmap 12:brk
    13:rt_sigaction 14:rt_sigprocmask 15:rt_sigreturn 16:ioctl 17:pread64 18:pwrite64 19:readv 20:writev
    21:access 22:pipe 23:select 24:sched_yield 25:mremap 27:mincore 28:madvise 32:dup 33:dup2 34:pause
    35:nanosleep 36:getitimer 37:alarm 38:setitimer 39:getpid 40:sendfile 41:socket 42:connect 52:getpeername
    56:clone 57:fork 58:vfork 59:execve 60:exit 61:wait4 62:kill 63:uname 72:fcntl 74:fsync 75:fdatasync
    76:truncate 77:ftruncate 78:getdents 79:getcwd 80:chdir 81:fchdir 82:rename 83:mkdir 84:rmdir 85:creat
    86:link 87:unlink 88:symlink 89:readlink 90:chmod 91:fchmod 92:chown 93:fchown 94:lchown 95:umask
    96:gettimeofday 97:getrlimit 98:getrusage 99:sysinfo 100:times 102:getuid 104:getgid 105:setuid 106:setgid
    107:geteuid 108:getegid 109:setpgid 110:getppid 111:getpgrp 112:setsid 115:getgroups 116:setgroups
    117:setresuid 118:getresuid 119:setresgid 120:getresgid 121:getpgid 124:getsid 127:rt_sigpending
    130:rt_sigsuspend 131:sigaltstack 132:utime 133:mknod 137:statfs 138:fstatfs 157:prctl 158:arch_prctl
    160:setrlimit 162:sync 186:gettid 200:tkill 201:time 202:futex 204:sched_getaffinity 217:getdents64
    218:set_tid_address 221:fadvise64 228:clock_gettime 229:clock_getres 230:clock_nanosleep 231:exit_group
    234:tgkill 235:utimes 247:waitid 257:openat 258:mkdirat 259:mknodat 260:fchownat 261:futimesat
    262:newfstatat 263:unlinkat 264:renameat 265:linkat 266:symlinkat 267:readlinkat 268:fchmodat 269:faccessat
    270:pselect6 271:ppoll 273:set_robust_list 275:splice 276:tee 280:utimensat 292:dup3 293:pipe2 295:preadv
    296:pwritev 302:prlimit64 316:renameat2 318:getrandom 319:memfd_create 322:execveat 324:membarrier
    326:copy_file_range 332:statx 334:rseq 435:clone3 436:close_range 439:faccessat2
"""


def _table(text: str) -> dict[int, str]:
    return {int(number): name for number, name in (word.split(":") for word in text.split())}


NAMES: dict[str, dict[int, str]] = {"aarch64": _table(_AARCH64), "x86_64": _table(_X86_64)}
"""Architecture -> number -> name."""

REGISTERS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "aarch64": ("x8", ("x0", "x1", "x2", "x3", "x4", "x5"), "x0"),
    "x86_64": ("rax", ("rdi", "rsi", "rdx", "r10", "r8", "r9"), "rax"),
}
"""Architecture -> registers of the number, the arguments and the result (syscall(2))."""


def name_of(arch: str, number: int) -> str:
    """The call's name; ``syscall_N`` for one this table does not have."""
    return NAMES[arch].get(number, f"syscall_{number}")
