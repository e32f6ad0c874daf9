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
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/stat.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

// These few are declared here because the headers hide them unless _GNU_SOURCE is defined, which breaks Swift's debug builds.
int fallocate(int fd, int mode, off_t offset, off_t length);
long syscall(long number, ...);
int memfd_create(const char *name, unsigned int flags);
int pthread_setname_np(pthread_t thread, const char *name);
ssize_t pwritev2(int fd, const struct iovec *buffers, int count, off_t offset, int flags);
int statx(int directory, const char *path, int flags, unsigned int mask, struct statx *result);

// Variadic calls.
static inline int clinux_open(const char *path, int flags, unsigned int mode) { return open(path, flags | O_CLOEXEC, mode); }
static inline int clinux_fcntl(int fd, int command, long value) { return fcntl(fd, command, value); }
static inline int clinux_fcntl_pointer(int fd, int command, void *argument) { return fcntl(fd, command, argument); }
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
static inline long clinux_getrandom(void *bytes, size_t count) { return syscall(SYS_getrandom, bytes, count, 0); }
static inline int clinux_seccomp_install(const void *instructions, unsigned short count, unsigned flags) {
  struct sock_fprog program = {count, (struct sock_filter *)instructions};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
static inline int clinux_gettid(void) { return (int)syscall(SYS_gettid); }

// Constants that hide behind _GNU_SOURCE or behind casts.
static const int clinux_MFD_CLOEXEC = 0x0001, clinux_MFD_ALLOW_SEALING = 0x0002;
static const int clinux_F_ADD_SEALS = 1033, clinux_F_SEAL_SEAL = 1, clinux_F_SEAL_SHRINK = 2, clinux_F_SEAL_GROW = 4;
static const int clinux_F_OFD_SETLK = 37;
static const int clinux_MADV_REMOVE = 9;
static const int clinux_O_DIRECT = 040000;
static const int clinux_AT_EMPTY_PATH = 0x1000, clinux_RWF_DSYNC = RWF_DSYNC, clinux_RWF_NOWAIT = RWF_NOWAIT;
static inline void *clinux_MAP_FAILED(void) { return MAP_FAILED; }
static inline int clinux_SIGRTMIN(void) { return SIGRTMIN; }

// Block device ioctls.
static const unsigned long clinux_BLKGETSIZE64 = BLKGETSIZE64, clinux_BLKDISCARD = BLKDISCARD, clinux_BLKZEROOUT = BLKZEROOUT;

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

#endif
