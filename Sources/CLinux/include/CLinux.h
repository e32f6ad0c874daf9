// Shims for what Swift cannot import: ioctl request macros, variadic calls, flexible array members, system calls without a wrapper.
// Headers only, `static inline` only; every function is a single system call or a single expression.
#ifndef CLINUX_H
#define CLINUX_H

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/capability.h>
#include <linux/kvm.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <linux/stat.h>
#include <linux/vhost.h>
#include <malloc.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <spawn.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

// These few are declared here because the headers hide them unless _GNU_SOURCE is defined, which breaks Swift's debug builds.
int fallocate(int fd, int mode, off_t offset, off_t length);
long syscall(long number, ...);
int memfd_create(const char *name, unsigned int flags);
int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int first);
int pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock, const struct timespec *deadline);
int pthread_setname_np(pthread_t thread, const char *name);
ssize_t pwritev2(int fd, const struct iovec *buffers, int count, off_t offset, int flags);
int statx(int directory, const char *path, int flags, unsigned int mask, struct statx *result);

// Variadic calls.
static inline int clinux_open(const char *path, int flags, unsigned int mode) { return open(path, flags | O_CLOEXEC, mode); }
static inline int clinux_fcntl(int fd, int command, long value) { return fcntl(fd, command, value); }
static inline int clinux_fcntl_pointer(int fd, int command, void *argument) { return fcntl(fd, command, argument); }
static inline int clinux_prctl(int option, unsigned long value) { return prctl(option, value, 0L, 0L, 0L); }
static inline int clinux_ioctl_value(int fd, unsigned long request, unsigned long value) { return ioctl(fd, request, value); }
static inline int clinux_ioctl_pointer(int fd, unsigned long request, void *argument) { return ioctl(fd, request, argument); }

// System calls that the C library does not wrap.
static inline int clinux_io_uring_setup(unsigned entries, struct io_uring_params *p) { return (int)syscall(__NR_io_uring_setup, entries, p); }
static inline int clinux_io_uring_enter(int fd, unsigned submit, unsigned complete, unsigned flags) {
  return (int)syscall(__NR_io_uring_enter, fd, submit, complete, flags, (void *)0, (size_t)0);
}
static inline int clinux_io_uring_register(int fd, unsigned opcode, const void *argument, unsigned count) {
  return (int)syscall(__NR_io_uring_register, fd, opcode, argument, count);
}
static inline int clinux_tgkill(int process, int thread, int signal) { return (int)syscall(SYS_tgkill, process, thread, signal); }
static inline int clinux_sched_setaffinity(const void *mask, size_t bytes) { return (int)syscall(SYS_sched_setaffinity, 0, bytes, mask); }
static inline int clinux_sched_getaffinity(void *mask, size_t bytes) { return (int)syscall(SYS_sched_getaffinity, 0, bytes, mask); }
// The calling thread's, of those that have no priority (sched(7)).
static inline int clinux_sched_setpolicy(int policy) {
  struct sched_param none = {0};
  return (int)syscall(SYS_sched_setscheduler, 0, policy, &none);
}
static const int clinux_SCHED_OTHER = 0, clinux_SCHED_BATCH = 3;
static inline long clinux_getrandom(void *bytes, size_t count) { return syscall(SYS_getrandom, bytes, count, 0); }
// Opens what is below a directory, wherever symbolic links lead (openat2(2)).
static inline int clinux_open_beneath(int directory, const char *path, int flags) {
  struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC), .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}
static inline int clinux_pivot_root(const char *root, const char *old) { return (int)syscall(SYS_pivot_root, root, old); }
static inline int clinux_close_range(unsigned first, unsigned last) { return (int)syscall(SYS_close_range, first, last, 0); }
static inline int clinux_landlock_create_ruleset(const void *attributes, size_t size, unsigned flags) {
  return (int)syscall(SYS_landlock_create_ruleset, attributes, size, flags);
}
static inline int clinux_accept(int listener) { return (int)syscall(SYS_accept4, listener, (void *)0, (void *)0, SOCK_CLOEXEC); }
static inline int clinux_landlock_restrict_self(int ruleset) { return (int)syscall(SYS_landlock_restrict_self, ruleset, 0); }
static inline int clinux_capget(struct __user_cap_header_struct *header, struct __user_cap_data_struct *sets) {
  return (int)syscall(SYS_capget, header, sets);
}
static inline int clinux_capset(const struct __user_cap_header_struct *header, const struct __user_cap_data_struct *sets) {
  return (int)syscall(SYS_capset, header, sets);
}
static inline int clinux_setgroups(size_t count, const void *groups) { return (int)syscall(SYS_setgroups, count, groups); }
static inline int clinux_setresuid(unsigned user) { return (int)syscall(SYS_setresuid, user, user, user); }
static inline int clinux_setresgid(unsigned group) { return (int)syscall(SYS_setresgid, group, group, group); }
// fork(2), which Swift does not import; with namespaces (clone(2)) the child is born in new ones. The C library does not know of a child of
// clone: it must do its work on a thread that it starts.
static inline int clinux_fork(void) { return fork(); }
static inline int clinux_clone(unsigned long namespaces) {
  return (int)syscall(SYS_clone, namespaces | SIGCHLD, 0, 0, 0, 0);
}
// The status words of waitpid(2) are taken apart by macros.
static inline int clinux_exit_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }
static inline int clinux_ending_signal(int status) { return WIFSIGNALED(status) ? WTERMSIG(status) : -1; }
static inline int clinux_seccomp_install(const void *instructions, unsigned short count, unsigned flags) {
  struct sock_fprog program = {count, (struct sock_filter *)instructions};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
// Any system call, for tests of what is forbidden.
static inline long clinux_system_call(long number, long a, long b, long c, long d) { return syscall(number, a, b, c, d); }
static inline long clinux_peek(int process) {
  char byte;
  struct iovec here = {&byte, 1}, there = {(void *)0x10000, 1};
  return syscall(SYS_process_vm_readv, (long)process, &here, 1L, &there, 1L, 0L);
}
static inline int clinux_gettid(void) { return (int)syscall(SYS_gettid); }

// Ancillary data of sockets, which macros lay out (cmsg(3)): descriptors only.
static inline size_t clinux_control_space(size_t descriptors) { return CMSG_SPACE(descriptors * sizeof(int)); }
static inline void clinux_put_descriptors(struct msghdr *message, const int *descriptors, size_t count) {
  struct cmsghdr *control = CMSG_FIRSTHDR(message);
  control->cmsg_level = SOL_SOCKET;
  control->cmsg_type = SCM_RIGHTS;
  control->cmsg_len = CMSG_LEN(count * sizeof(int));
  __builtin_memcpy(CMSG_DATA(control), descriptors, count * sizeof(int));
}
// How many descriptors came, of which at most `limit` are stored: the buffer has room for no more.
static inline size_t clinux_take_descriptors(struct msghdr *message, int *descriptors, size_t limit) {
  size_t count = 0;
  for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    size_t here = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t index = 0; index < here && count < limit; index++)
      __builtin_memcpy(&descriptors[count++], CMSG_DATA(control) + index * sizeof(int), sizeof(int));
  }
  return count;
}

// What a forbidden system call ends in (seccomp(2), SECCOMP_RET_TRAP): a packet that says which one it was, and the end.
// It runs as a signal handler in a process that may be hostile, and calls nothing but the kernel.
struct clinux_violation {
  unsigned char kind;
  unsigned char zeroes[3];
  int number;
  unsigned long arguments[6];
};
static int clinux_violation_socket = -1;
static unsigned char clinux_violation_kind = 0;
static inline void clinux_on_violation(int signal, siginfo_t *information, void *context) {
  (void)signal;
  ucontext_t *user = (ucontext_t *)context;
  struct clinux_violation report = {clinux_violation_kind, {0}, information->si_syscall, {0}};
#if defined(__x86_64__)
  static const unsigned char registers[6] = {8, 9, 12, 2, 0, 1};  // rdi rsi rdx r10 r8 r9 in gregs
  for (int index = 0; index < 6; index++) report.arguments[index] = (unsigned long)user->uc_mcontext.gregs[registers[index]];
#elif defined(__aarch64__)
  for (int index = 0; index < 6; index++) report.arguments[index] = (unsigned long)user->uc_mcontext.regs[index];
#endif
  (void)!write(clinux_violation_socket, &report, sizeof report);
  _exit(128 + SIGSYS);
}
static inline int clinux_report_violations(int socket, unsigned char kind) {
  clinux_violation_socket = socket;
  clinux_violation_kind = kind;
  struct sigaction action = {0};
  action.sa_sigaction = clinux_on_violation;
  action.sa_flags = SA_SIGINFO;
  return sigaction(SIGSYS, &action, 0);
}

// Constants that hide behind _GNU_SOURCE or behind casts.
static const unsigned long clinux_CLONE_NEWUSER = 0x10000000, clinux_CLONE_NEWNS = 0x00020000, clinux_CLONE_NEWPID = 0x20000000;
static const unsigned long clinux_CLONE_NEWNET = 0x40000000, clinux_CLONE_NEWIPC = 0x08000000, clinux_CLONE_NEWUTS = 0x04000000;
static const unsigned long clinux_CLONE_NEWCGROUP = 0x02000000;
static const int clinux_RLIMIT_NPROC = 6, clinux_RLIMIT_SIGPENDING = 11, clinux_RLIMIT_MSGQUEUE = 12, clinux_RLIMIT_RTPRIO = 14;
static const int clinux_MFD_CLOEXEC = 0x0001, clinux_MFD_ALLOW_SEALING = 0x0002;
static const int clinux_F_ADD_SEALS = 1033, clinux_F_SEAL_SEAL = 1, clinux_F_SEAL_SHRINK = 2, clinux_F_SEAL_GROW = 4;
static const int clinux_F_OFD_GETLK = 36;
static const int clinux_F_OFD_SETLK = 37;
static const int clinux_MADV_REMOVE = 9;
static const int clinux_O_DIRECT = 040000;
static const int clinux_O_PATH = 010000000;
// O_DIRECTORY is part of it, whose value is the processor's.
static const int clinux_O_TMPFILE = 020000000 | O_DIRECTORY;
static const int clinux_SEEK_DATA = 3, clinux_SEEK_HOLE = 4;
static const int clinux_AT_EMPTY_PATH = 0x1000, clinux_RWF_DSYNC = RWF_DSYNC, clinux_RWF_NOWAIT = RWF_NOWAIT;
// renameat2(2) with RENAME_NOREPLACE.
static inline int clinux_rename_noreplace(const char *old_path, const char *new_path) {
    return (int)syscall(SYS_renameat2, AT_FDCWD, old_path, AT_FDCWD, new_path, 1);
}
static inline void *clinux_MAP_FAILED(void) { return MAP_FAILED; }
static inline int clinux_SIGRTMIN(void) { return SIGRTMIN; }

// Block device ioctls.
static const unsigned long clinux_BLKGETSIZE64 = BLKGETSIZE64, clinux_BLKDISCARD = BLKDISCARD, clinux_BLKZEROOUT = BLKZEROOUT;

// Network interfaces (netdevice(7)) and taps (Documentation/networking/tuntap.rst of Linux): the kernel's structure is a union under a name.
static inline struct ifreq clinux_interface(const char *name) {
  struct ifreq request = {0};
  __builtin_strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  return request;
}
// Makes `fd` a queue of the tap; `name` has room for IFNAMSIZ bytes, and takes the name that the kernel made of a pattern.
static inline int clinux_tun_attach(int fd, char *name, short flags) {
  struct ifreq request = clinux_interface(name);
  request.ifr_flags = flags;
  int code = ioctl(fd, TUNSETIFF, &request);
  if (code == 0) __builtin_memcpy(name, request.ifr_name, IFNAMSIZ);
  return code;
}
// What the tap is called, and its flags; negative for none.
static inline int clinux_tun_describe(int fd, char *name) {
  struct ifreq request = {0};
  if (ioctl(fd, TUNGETIFF, &request) != 0) return -1;
  __builtin_memcpy(name, request.ifr_name, IFNAMSIZ);
  return (unsigned short)request.ifr_flags;
}
static inline int clinux_tun_set_queue(int fd, short flags) {
  struct ifreq request = {0};
  request.ifr_flags = flags;
  return ioctl(fd, TUNSETQUEUE, &request);
}
static inline int clinux_interface_set_address(int socket, unsigned long what, const char *name, unsigned address) {
  struct ifreq request = clinux_interface(name);
  struct sockaddr_in internet = {.sin_family = AF_INET, .sin_addr = {__builtin_bswap32(address)}};
  __builtin_memcpy(&request.ifr_addr, &internet, sizeof internet);
  return ioctl(socket, what, &request);
}
static inline int clinux_interface_set_flags(int socket, const char *name, short flags) {
  struct ifreq request = clinux_interface(name);
  request.ifr_flags = flags;
  return ioctl(socket, SIOCSIFFLAGS, &request);
}
static inline int clinux_interface_flags(int socket, const char *name) {
  struct ifreq request = clinux_interface(name);
  return ioctl(socket, SIOCGIFFLAGS, &request) == 0 ? (unsigned short)request.ifr_flags : -1;
}
static inline int clinux_interface_set_mtu(int socket, const char *name, int mtu) {
  struct ifreq request = clinux_interface(name);
  request.ifr_mtu = mtu;
  return ioctl(socket, SIOCSIFMTU, &request);
}
static inline int clinux_interface_mtu(int socket, const char *name) {
  struct ifreq request = clinux_interface(name);
  return ioctl(socket, SIOCGIFMTU, &request) == 0 ? request.ifr_mtu : -1;
}
// The hardware address of an interface: of `name` by a socket, or of the tap itself by its descriptor, which needs no name.
static inline int clinux_interface_hardware_address(int fd, const char *name, unsigned char *address) {
  struct ifreq request = clinux_interface(name);
  if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) return -1;
  __builtin_memcpy(address, request.ifr_hwaddr.sa_data, 6);
  return 0;
}
static const unsigned long clinux_TUNSETVNETHDRSZ = TUNSETVNETHDRSZ, clinux_TUNSETOFFLOAD = TUNSETOFFLOAD;
static const unsigned long clinux_TUNSETCARRIER = TUNSETCARRIER;
static const int clinux_IFF_MULTI_QUEUE = IFF_MULTI_QUEUE, clinux_IFF_ATTACH_QUEUE = IFF_ATTACH_QUEUE, clinux_IFF_DETACH_QUEUE = IFF_DETACH_QUEUE;

// Ordering of plain memory, for rings that live in memory shared with a guest or with the kernel.
static inline unsigned short clinux_load_acquire_16(const void *p) { return __atomic_load_n((const unsigned short *)p, __ATOMIC_ACQUIRE); }
static inline unsigned int clinux_load_acquire_32(const void *p) { return __atomic_load_n((const unsigned int *)p, __ATOMIC_ACQUIRE); }
static inline void clinux_store_release_16(void *p, unsigned short v) { __atomic_store_n((unsigned short *)p, v, __ATOMIC_RELEASE); }
static inline void clinux_store_release_32(void *p, unsigned int v) { __atomic_store_n((unsigned int *)p, v, __ATOMIC_RELEASE); }
static inline void clinux_fence_full(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
// Tells the processor that a loop waits for memory to change.
static inline void clinux_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}
static inline unsigned char clinux_fetch_or_8(unsigned char *p, unsigned char v) { return __atomic_fetch_or(p, v, __ATOMIC_RELEASE); }
static inline unsigned char clinux_exchange_8(unsigned char *p, unsigned char v) { return __atomic_exchange_n(p, v, __ATOMIC_ACQ_REL); }

// KVM: request numbers are macros with casts, and two structures end in a flexible array.
#define CLINUX_KVM(name) static const unsigned long clinux_##name = name;
CLINUX_KVM(KVM_GET_API_VERSION) CLINUX_KVM(KVM_CREATE_VM) CLINUX_KVM(KVM_CHECK_EXTENSION) CLINUX_KVM(KVM_GET_VCPU_MMAP_SIZE)
CLINUX_KVM(KVM_GET_SUPPORTED_CPUID) CLINUX_KVM(KVM_GET_MSR_INDEX_LIST)
CLINUX_KVM(KVM_SET_TSS_ADDR) CLINUX_KVM(KVM_SET_IDENTITY_MAP_ADDR) CLINUX_KVM(KVM_CREATE_IRQCHIP) CLINUX_KVM(KVM_CREATE_PIT2)
CLINUX_KVM(KVM_ENABLE_CAP) CLINUX_KVM(KVM_SET_USER_MEMORY_REGION) CLINUX_KVM(KVM_GET_DIRTY_LOG) CLINUX_KVM(KVM_IRQ_LINE)
CLINUX_KVM(KVM_SET_GSI_ROUTING) CLINUX_KVM(KVM_IRQFD) CLINUX_KVM(KVM_IOEVENTFD) CLINUX_KVM(KVM_SIGNAL_MSI) CLINUX_KVM(KVM_CREATE_VCPU)
CLINUX_KVM(KVM_GET_CLOCK) CLINUX_KVM(KVM_SET_CLOCK)
CLINUX_KVM(KVM_RUN) CLINUX_KVM(KVM_GET_REGS) CLINUX_KVM(KVM_SET_REGS) CLINUX_KVM(KVM_GET_SREGS) CLINUX_KVM(KVM_SET_SREGS)
CLINUX_KVM(KVM_GET_FPU) CLINUX_KVM(KVM_SET_FPU) CLINUX_KVM(KVM_GET_MSRS) CLINUX_KVM(KVM_SET_MSRS) CLINUX_KVM(KVM_SET_CPUID2)
CLINUX_KVM(KVM_GET_LAPIC) CLINUX_KVM(KVM_SET_LAPIC) CLINUX_KVM(KVM_GET_MP_STATE) CLINUX_KVM(KVM_SET_MP_STATE)
CLINUX_KVM(KVM_SET_SIGNAL_MASK) CLINUX_KVM(KVM_KVMCLOCK_CTRL) CLINUX_KVM(KVM_SET_TSC_KHZ) CLINUX_KVM(KVM_GET_TSC_KHZ)
CLINUX_KVM(KVM_GET_VCPU_EVENTS) CLINUX_KVM(KVM_INTERRUPT) CLINUX_KVM(KVM_NMI)
#undef CLINUX_KVM

// vhost: request numbers are macros with casts.
#define CLINUX_VHOST(name) static const unsigned long clinux_##name = name;
CLINUX_VHOST(VHOST_GET_FEATURES) CLINUX_VHOST(VHOST_SET_FEATURES) CLINUX_VHOST(VHOST_SET_OWNER) CLINUX_VHOST(VHOST_SET_MEM_TABLE)
CLINUX_VHOST(VHOST_SET_VRING_NUM) CLINUX_VHOST(VHOST_SET_VRING_ADDR) CLINUX_VHOST(VHOST_SET_VRING_BASE) CLINUX_VHOST(VHOST_GET_VRING_BASE)
CLINUX_VHOST(VHOST_SET_VRING_KICK) CLINUX_VHOST(VHOST_SET_VRING_CALL) CLINUX_VHOST(VHOST_SET_VRING_ERR)
CLINUX_VHOST(VHOST_NET_SET_BACKEND)
CLINUX_VHOST(VHOST_VSOCK_SET_GUEST_CID) CLINUX_VHOST(VHOST_VSOCK_SET_RUNNING)
#undef CLINUX_VHOST

#endif
