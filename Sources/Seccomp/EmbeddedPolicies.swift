// Written by tools/embed-policies from seccomp/*/*.policy: change those.

/// The policies that are built in.
enum EmbeddedPolicies {
  #if arch(x86_64)
    /// Texts by file names.
    static let files: [String: String] = [
      "balloon.policy": #"""
      # The balloon device: it gives the guest's memory back.
      @include ./common_device.policy

      # MADV_REMOVE is what gives memory back; the other is for stacks of ended threads.
      madvise: arg2 == MADV_REMOVE || arg2 == MADV_DONTNEED

      """#,
      "block.policy": #"""
      # The disk device: an image file or a block device, which arrives open.
      @include ./common_device.policy

      # Requests go to the kernel in rings, or one by one where it has none.
      io_uring_enter: 1
      io_uring_register: 1
      io_uring_setup: 1
      pread64: 1
      preadv: 1
      pwrite64: 1
      pwritev: 1
      pwritev2: 1

      fallocate: 1
      fdatasync: 1
      fsync: 1
      ftruncate: 1
      lseek: 1
      statx: 1
      fstatfs: 1
      # F_OFD_SETLK: nobody else uses the image.
      fcntl: arg1 == F_GETFL || arg1 == F_SETFL || arg1 == F_SETFD || arg1 == F_DUPFD_CLOEXEC || arg1 == F_OFD_SETLK
      ioctl: arg1 == BLKGETSIZE64 || arg1 == BLKDISCARD || arg1 == BLKZEROOUT
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "common_device.policy": #"""
      # What every device's process may do: memory, threads, its event loop, and its socket to the machine.

      # Memory. Nothing becomes executable; the devices say themselves which advice they give about it.
      brk: 1
      mmap: arg2 in PROT_READ|PROT_WRITE
      mprotect: arg2 in PROT_READ|PROT_WRITE
      mremap: 1
      munmap: 1
      # malloc asks for the number of processors when threads contend.
      sched_getaffinity: 1

      # Threads, with exactly the flags of the C library. It tries clone3 first, whose flags no filter sees, and without it takes clone.
      clone3: return ENOSYS
      clone: arg0 == CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM| \
          CLONE_SETTLS|CLONE_PARENT_SETTID|CLONE_CHILD_CLEARTID
      prctl: arg0 == PR_SET_NAME
      rseq: 1
      set_robust_list: 1
      rt_sigaction: 1
      rt_sigprocmask: 1
      rt_sigreturn: 1
      restart_syscall: 1
      futex: 1
      gettid: 1
      exit: 1
      exit_group: 1

      # The event loop, and waits for two descriptors.
      epoll_create1: 1
      epoll_ctl: 1
      epoll_wait: 1
      poll: 1
      ppoll: 1
      eventfd2: 1
      read: 1
      write: 1
      close: 1
      # Descriptors come and go with messages.
      recvmsg: 1
      sendmsg: 1

      # Where the vDSO cannot tell the time; and waits for a thread's end.
      clock_gettime: 1
      clock_nanosleep: 1
      # Seeds of hash tables.
      getrandom: 1
      # Log lines: the process's number, and the first print looks at what it prints to.
      getpid: 1
      newfstatat: arg3 == AT_EMPTY_PATH

      """#,
      "console.policy": #"""
      # The console device: its input and output arrive open.
      @include ./common_device.policy

      fcntl: arg1 == F_GETFL || arg1 == F_SETFL || arg1 == F_DUPFD_CLOEXEC
      # The size of the terminal, and how much input there is.
      ioctl: arg1 == TIOCGWINSZ || arg1 == FIONREAD
      # Outputs that are sockets, and the system's log.
      recvfrom: 1
      sendto: 1
      # A sink that went away stays away: its name means nothing in the device's root.
      connect: return ECONNREFUSED
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "main.policy": #"""
      # The machine's own threads once the guest runs, but for its processors: the event loop, the control socket, devices without a process.

      # Memory. Nothing becomes executable.
      brk: 1
      mmap: arg2 in PROT_READ|PROT_WRITE
      mprotect: arg2 in PROT_READ|PROT_WRITE
      mremap: 1
      munmap: 1
      # malloc asks for the number of processors when threads contend.
      sched_getaffinity: 1

      # Threads, with exactly the flags of the C library. It tries clone3 first, whose flags no filter sees, and without it takes clone.
      clone3: return ENOSYS
      clone: arg0 == CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM|CLONE_SETTLS|CLONE_PARENT_SETTID|CLONE_CHILD_CLEARTID
      prctl: arg0 == PR_SET_NAME
      rseq: 1
      set_robust_list: 1
      rt_sigaction: 1
      rt_sigprocmask: 1
      rt_sigreturn: 1
      restart_syscall: 1
      futex: 1
      gettid: 1
      exit: 1
      exit_group: 1

      # The event loop, and waits for two descriptors.
      epoll_create1: 1
      epoll_ctl: 1
      epoll_wait: 1
      poll: 1
      ppoll: 1
      eventfd2: 1
      read: 1
      write: 1
      close: 1
      # Descriptors come and go with messages.
      recvmsg: 1
      sendmsg: 1

      # Where the vDSO cannot tell the time; and waits for a thread's end.
      clock_gettime: 1
      clock_nanosleep: 1
      # Seeds of hash tables.
      getrandom: 1
      # Log lines: the process's number, and the first print looks at what it prints to.
      getpid: 1
      getpgrp: 1
      newfstatat: arg3 == AT_EMPTY_PATH

      madvise: arg2 == MADV_DONTNEED || arg2 == MADV_REMOVE
      fcntl: arg1 == F_GETFL || arg1 == F_SETFL || arg1 == F_SETFD || arg1 == F_DUPFD_CLOEXEC
      # The virtual machine; then the terminal, which is put back at the end.
      ioctl: arg1 == KVM_RUN || arg1 == KVM_CHECK_EXTENSION || arg1 == KVM_SET_USER_MEMORY_REGION || arg1 == KVM_GET_DIRTY_LOG || \
          arg1 == KVM_IRQ_LINE || arg1 == KVM_SIGNAL_MSI || arg1 == KVM_SET_GSI_ROUTING || arg1 == KVM_IRQFD || \
          arg1 == KVM_IOEVENTFD || arg1 == KVM_GET_CLOCK || arg1 == KVM_SET_CLOCK || arg1 == KVM_KVMCLOCK_CTRL || \
          arg1 == TCGETS || arg1 == TCSETS || arg1 == TIOCGPGRP
      # Processors are taken out of the guest by a signal. Nothing else is signalled, but a device's process that does not end.
      tgkill: 1
      kill: arg1 == SIGKILL || arg1 == SIGTERM
      wait4: 1
      waitid: 1
      signalfd4: 1
      timerfd_create: 1
      timerfd_settime: 1

      # The control socket.
      accept: 1
      setsockopt: arg1 == SOL_SOCKET
      getsockopt: arg1 == SOL_SOCKET
      recvfrom: 1
      sendto: 1
      shutdown: 1
      # Each processor's thread confines itself further: vcpu.policy.
      seccomp: arg0 == SECCOMP_SET_MODE_FILTER
      # --cpu-affinity, before that.
      sched_setaffinity: 1

      """#,
      "rng.policy": #"""
      # The entropy device: it needs the kernel's random bytes, which all devices may have.
      @include ./common_device.policy

      # A driver that asks for more than its share waits for the next period.
      timerfd_create: 1
      timerfd_settime: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "vcpu.policy": #"""
      # A virtual processor's thread: it runs the guest, and answers its accesses to ports and memory. No file is opened, no thread started.

      # First, because of the filter's order: what happens at every exit. Then interrupts and doorbells, which the guest moves.
      ioctl: arg1 == KVM_RUN || arg1 == KVM_KVMCLOCK_CTRL || arg1 == KVM_IRQ_LINE || arg1 == KVM_SIGNAL_MSI || \
          arg1 == KVM_SET_GSI_ROUTING || arg1 == KVM_IRQFD || arg1 == KVM_IOEVENTFD

      # Eventfds, and a device's process behind its socket.
      read: 1
      write: 1
      recvmsg: 1
      sendmsg: 1
      poll: 1
      ppoll: 1
      close: 1
      eventfd2: 1
      epoll_ctl: 1
      timerfd_settime: 1
      futex: 1

      brk: 1
      mmap: arg2 in PROT_READ|PROT_WRITE
      mprotect: arg2 in PROT_READ|PROT_WRITE
      mremap: 1
      munmap: 1
      madvise: arg2 == MADV_DONTNEED
      sched_getaffinity: 1

      clock_gettime: 1
      clock_nanosleep: 1
      getrandom: 1
      gettid: 1
      getpid: 1
      # The signal that takes it out of the guest, and others that are to leave it.
      tgkill: 1
      rt_sigprocmask: 1
      rt_sigreturn: 1
      restart_syscall: 1
      exit: 1
      exit_group: 1

      """#,
    ]
  #elseif arch(arm64)
    /// Texts by file names.
    static let files: [String: String] = [
      "balloon.policy": #"""
      # The balloon device: it gives the guest's memory back.
      @include ./common_device.policy

      # MADV_REMOVE is what gives memory back; the other is for stacks of ended threads.
      madvise: arg2 == MADV_REMOVE || arg2 == MADV_DONTNEED

      """#,
      "block.policy": #"""
      # The disk device: an image file or a block device, which arrives open.
      @include ./common_device.policy

      # Requests go to the kernel in rings, or one by one where it has none.
      io_uring_enter: 1
      io_uring_register: 1
      io_uring_setup: 1
      pread64: 1
      preadv: 1
      pwrite64: 1
      pwritev: 1
      pwritev2: 1

      fallocate: 1
      fdatasync: 1
      fsync: 1
      ftruncate: 1
      lseek: 1
      statx: 1
      fstatfs: 1
      # F_OFD_SETLK: nobody else uses the image.
      fcntl: arg1 == F_GETFL || arg1 == F_SETFL || arg1 == F_SETFD || arg1 == F_DUPFD_CLOEXEC || arg1 == F_OFD_SETLK
      ioctl: arg1 == BLKGETSIZE64 || arg1 == BLKDISCARD || arg1 == BLKZEROOUT
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "common_device.policy": #"""
      # What every device's process may do: memory, threads, its event loop, and its socket to the machine.

      # Memory. Nothing becomes executable; the devices say themselves which advice they give about it.
      brk: 1
      mmap: arg2 in PROT_READ|PROT_WRITE
      mprotect: arg2 in PROT_READ|PROT_WRITE
      mremap: 1
      munmap: 1
      # malloc asks for the number of processors when threads contend.
      sched_getaffinity: 1

      # Threads, with exactly the flags of the C library. It tries clone3 first, whose flags no filter sees, and without it takes clone.
      clone3: return ENOSYS
      clone: arg0 == CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM| \
          CLONE_SETTLS|CLONE_PARENT_SETTID|CLONE_CHILD_CLEARTID
      prctl: arg0 == PR_SET_NAME
      rseq: 1
      set_robust_list: 1
      rt_sigaction: 1
      rt_sigprocmask: 1
      rt_sigreturn: 1
      restart_syscall: 1
      futex: 1
      gettid: 1
      exit: 1
      exit_group: 1

      # The event loop, and waits for two descriptors.
      epoll_create1: 1
      epoll_ctl: 1
      epoll_pwait: 1
      ppoll: 1
      eventfd2: 1
      read: 1
      write: 1
      close: 1
      # Descriptors come and go with messages.
      recvmsg: 1
      sendmsg: 1

      # Where the vDSO cannot tell the time; and waits for a thread's end.
      clock_gettime: 1
      clock_nanosleep: 1
      # Seeds of hash tables.
      getrandom: 1
      # Log lines: the process's number, and the first print looks at what it prints to.
      getpid: 1
      newfstatat: arg3 == AT_EMPTY_PATH

      """#,
      "console.policy": #"""
      # The console device: its input and output arrive open.
      @include ./common_device.policy

      fcntl: arg1 == F_GETFL || arg1 == F_SETFL || arg1 == F_DUPFD_CLOEXEC
      # The size of the terminal, and how much input there is.
      ioctl: arg1 == TIOCGWINSZ || arg1 == FIONREAD
      # Outputs that are sockets, and the system's log.
      recvfrom: 1
      sendto: 1
      # A sink that went away stays away: its name means nothing in the device's root.
      connect: return ECONNREFUSED
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "main.policy": #"""
      # The machine's own threads, but for its processors: the event loop, the control socket, devices that have no process.

      # Memory. Nothing becomes executable.
      brk: 1
      mmap: arg2 in PROT_READ|PROT_WRITE
      mprotect: arg2 in PROT_READ|PROT_WRITE
      mremap: 1
      munmap: 1
      # malloc asks for the number of processors when threads contend.
      sched_getaffinity: 1

      # Threads, with exactly the flags of the C library. It tries clone3 first, whose flags no filter sees, and without it takes clone.
      clone3: return ENOSYS
      clone: arg0 == CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM| \
          CLONE_SETTLS|CLONE_PARENT_SETTID|CLONE_CHILD_CLEARTID
      prctl: arg0 == PR_SET_NAME
      rseq: 1
      set_robust_list: 1
      rt_sigaction: 1
      rt_sigprocmask: 1
      rt_sigreturn: 1
      restart_syscall: 1
      futex: 1
      gettid: 1
      exit: 1
      exit_group: 1

      # The event loop, and waits for two descriptors.
      epoll_create1: 1
      epoll_ctl: 1
      epoll_pwait: 1
      ppoll: 1
      eventfd2: 1
      read: 1
      write: 1
      close: 1
      # Descriptors come and go with messages.
      recvmsg: 1
      sendmsg: 1

      # Where the vDSO cannot tell the time; and waits for a thread's end.
      clock_gettime: 1
      clock_nanosleep: 1
      # Seeds of hash tables.
      getrandom: 1
      # Log lines: the process's number, and the first print looks at what it prints to.
      getpid: 1
      getpgid: 1
      newfstatat: arg3 == AT_EMPTY_PATH

      madvise: arg2 == MADV_DONTNEED || arg2 == MADV_REMOVE
      fcntl: arg1 == F_GETFL || arg1 == F_SETFL || arg1 == F_SETFD || arg1 == F_DUPFD_CLOEXEC
      # The virtual machine; then the terminal, which is put back at the end.
      ioctl: arg1 == KVM_RUN || arg1 == KVM_CHECK_EXTENSION || arg1 == KVM_SET_USER_MEMORY_REGION || arg1 == KVM_GET_DIRTY_LOG || \
          arg1 == KVM_IRQ_LINE || arg1 == KVM_SIGNAL_MSI || arg1 == KVM_SET_GSI_ROUTING || arg1 == KVM_IRQFD || \
          arg1 == KVM_IOEVENTFD || \
          arg1 == TCGETS || arg1 == TCSETS || arg1 == TIOCGPGRP
      # Processors are taken out of the guest by a signal. Nothing else is signalled, but a device's process that does not end.
      tgkill: 1
      kill: arg1 == SIGKILL || arg1 == SIGTERM
      wait4: 1
      waitid: 1
      signalfd4: 1
      timerfd_create: 1
      timerfd_settime: 1

      # The control socket.
      accept: 1
      setsockopt: arg1 == SOL_SOCKET
      getsockopt: arg1 == SOL_SOCKET
      recvfrom: 1
      sendto: 1
      shutdown: 1
      # Each processor's thread confines itself further: vcpu.policy.
      seccomp: arg0 == SECCOMP_SET_MODE_FILTER
      # --cpu-affinity, before that.
      sched_setaffinity: 1

      """#,
      "rng.policy": #"""
      # The entropy device: it needs the kernel's random bytes, which all devices may have.
      @include ./common_device.policy

      # A driver that asks for more than its share waits for the next period.
      timerfd_create: 1
      timerfd_settime: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "vcpu.policy": #"""
      # A virtual processor's thread: it runs the guest, and answers its accesses to ports and memory. No file is opened, no thread started.

      # First, because of the filter's order: what happens at every exit. Then interrupts and doorbells, which the guest moves.
      ioctl: arg1 == KVM_RUN || arg1 == KVM_IRQ_LINE || arg1 == KVM_SIGNAL_MSI || arg1 == KVM_SET_GSI_ROUTING || \
          arg1 == KVM_IRQFD || arg1 == KVM_IOEVENTFD

      # Eventfds, and a device's process behind its socket.
      read: 1
      write: 1
      recvmsg: 1
      sendmsg: 1
      ppoll: 1
      close: 1
      eventfd2: 1
      epoll_ctl: 1
      timerfd_settime: 1
      futex: 1

      brk: 1
      mmap: arg2 in PROT_READ|PROT_WRITE
      mprotect: arg2 in PROT_READ|PROT_WRITE
      mremap: 1
      munmap: 1
      madvise: arg2 == MADV_DONTNEED
      sched_getaffinity: 1

      clock_gettime: 1
      clock_nanosleep: 1
      getrandom: 1
      gettid: 1
      getpid: 1
      # The signal that takes it out of the guest, and others that are to leave it.
      tgkill: 1
      rt_sigprocmask: 1
      rt_sigreturn: 1
      restart_syscall: 1
      exit: 1
      exit_group: 1

      """#,
    ]
  #endif
}
