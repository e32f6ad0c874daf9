// Written by tools/embed-policies from seccomp/*/*.policy: change those.

/// The policies that are built in.
enum EmbeddedPolicies {
  #if arch(x86_64)
    /// Texts by file names.
    static let files: [String: String] = [
      "balloon.policy": #"""
      # The balloon device.
      @include ./common_device.policy

      # MADV_REMOVE is what gives the guest's memory back; the other is for stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_REMOVE || arg2 == MADV_DONTNEED

      """#,
      "block.policy": #"""
      # The disk device: an image file or a block device, which arrives open.
      @include ./common_device.policy

      # Requests go to the kernel in rings, or one by one where it has none. The rings were made before, and take nothing but what is allowed
      # here, too: reads, writes, flushes, allocation, and waits for events.
      io_uring_enter: 1
      io_uring_register: arg1 == IORING_REGISTER_ENABLE_RINGS || arg1 == IORING_REGISTER_RING_FDS
      preadv: 1
      pwritev2: 1
      fdatasync: 1
      # Discarded and zeroed blocks of a file, and of a block device; another size.
      fallocate: 1
      ioctl: arg1 == BLKDISCARD
      ftruncate: 1
      # The limits of iops and bandwidth wait for their time.
      timerfd_create: 1
      timerfd_settime: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED
      # Before an interrupt, others run for a moment.
      sched_yield: 1

      """#,
      "common.policy": #"""
      # What every process of crosvm may do: memory, threads, events, and the sockets between its processes.

      # Memory. Nothing becomes executable; each policy says itself which advice it gives about it.
      brk: 1
      mmap: arg2 in PROT_READ|PROT_WRITE
      mprotect: arg2 in PROT_READ|PROT_WRITE
      munmap: 1

      # Threads, with exactly the flags of the C library. It tries clone3 first, whose flags no filter sees, and without it takes clone.
      clone3: return ENOSYS
      clone: arg0 == CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM| \
          CLONE_SETTLS|CLONE_PARENT_SETTID|CLONE_CHILD_CLEARTID
      prctl: arg0 == PR_SET_NAME
      rseq: 1
      set_robust_list: 1
      # The handler of SIGSYS, which reports what is forbidden, stays.
      rt_sigaction: arg0 in 0x7f && arg0 != SIGSYS || arg1 == 0
      rt_sigprocmask: 1
      futex: 1
      gettid: 1
      exit: 1
      exit_group: 1

      # Events.
      epoll_ctl: 1
      epoll_wait: 1
      eventfd2: 1
      read: 1
      write: 1
      close: 1
      # Requests and answers, with descriptors.
      recvmsg: 1
      sendmsg: 1

      # Where the vDSO cannot tell the time.
      clock_gettime: 1

      """#,
      "common_device.policy": #"""
      # What every device's process may do besides.
      @include ./common.policy

      epoll_create1: 1

      """#,
      "connector.policy": #"""
      # The process that connects Unix sockets for a device, and passes them on. It has one thread.

      socket: arg0 == AF_UNIX
      connect: 1
      recvmsg: 1
      sendmsg: 1
      close: 1
      exit_group: 1

      # Memory.
      brk: 1
      mmap: arg2 in PROT_READ|PROT_WRITE
      munmap: 1

      """#,
      "console.policy": #"""
      # The console device: its input and output arrive open.
      @include ./common_device.policy

      # Whether the input is a terminal.
      ioctl: arg1 == TCGETS
      # Whether the output is a file.
      newfstatat: arg3 == AT_EMPTY_PATH
      # Outputs that are sockets, and the system's log: to whom they are connected, and nobody else.
      sendto: arg4 == 0
      # Waits for who reads and who writes; the other is the kernel's own, where a wait is continued after the process was stopped.
      poll: 1
      restart_syscall: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "main.policy": #"""
      # The machine's own threads once the guest runs: the event loop, the control socket, serial ports. Those of processors obey vcpu.policy besides.
      @include ./common.policy

      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED
      # The virtual machine; then the terminal, which is put back at the end.
      ioctl: arg1 == KVM_RUN || arg1 == KVM_KVMCLOCK_CTRL || arg1 == KVM_SIGNAL_MSI || arg1 == KVM_SET_GSI_ROUTING || \
          arg1 == KVM_IRQFD || arg1 == KVM_IOEVENTFD || arg1 == TCGETS || arg1 == TCSETS || arg1 == TIOCGPGRP
      # Whether the terminal is ours.
      getpgrp: 1
      # Processors are taken out of the guest by a signal.
      getpid: 1
      tgkill: arg0 == SELF
      rt_sigreturn: 1
      # Waits for the launcher, which ends last, and others.
      poll: 1
      # The kernel's own, where a wait is continued after the process was stopped.
      restart_syscall: 1
      shutdown: 1
      wait4: 1
      # Timers of the clock and the interval timer.
      timerfd_settime: 1
      # How long an image of persistent memory is, when somebody has changed it.
      lseek: arg2 == SEEK_END
      # The control socket, and outputs that are sockets.
      accept4: arg3 == SOCK_CLOEXEC
      fcntl: arg1 == F_DUPFD_CLOEXEC
      recvfrom: 1
      sendto: 1
      # A datagram socket or log daemon that comes back is found again.
      connect: 1
      # Processors confine themselves further, and stay where --cpu-affinity wants them.
      seccomp: arg0 == SECCOMP_SET_MODE_FILTER
      sched_setaffinity: 1

      """#,
      "net.policy": #"""
      # The network card: the queues of a tap, which arrive open.
      @include ./common_device.policy

      # Frames, straight from and into the guest's memory.
      readv: 1
      writev: 1
      # What the guest takes, and which queues it uses.
      ioctl: arg1 == TUNSETOFFLOAD || arg1 == TUNSETQUEUE || arg1 == TUNSETCARRIER
      # The limits of pps and bandwidth wait for their time.
      timerfd_create: 1
      timerfd_settime: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED
      # Before an interrupt, others run for a moment; and where that brings more, a thread that is woken waits for its turn.
      sched_yield: 1
      sched_setscheduler: arg1 == SCHED_OTHER || arg1 == SCHED_BATCH

      """#,
      "pmem.policy": #"""
      # The persistent memory device: an image file or a block device, which arrives open. The machine maps it, not this process.
      @include ./common_device.policy

      # What the guest wrote goes to stable storage.
      fdatasync: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "rng.policy": #"""
      # The entropy device.
      @include ./common_device.policy

      getrandom: 1
      # A driver that asks for more than its share waits for the next period.
      timerfd_create: 1
      timerfd_settime: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "user_net.policy": #"""
      # The network card in the user's own network: a socket to passt, which arrives open.
      @include ./common_device.policy

      # Frames, over the socket; they are sent by sendmsg, which all devices may call.
      readv: 1
      # The limits of pps and bandwidth wait for their time.
      timerfd_create: 1
      timerfd_settime: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED
      # Before an interrupt, others run for a moment; and where that brings more, a thread that is woken waits for its turn.
      sched_yield: 1
      sched_setscheduler: arg1 == SCHED_OTHER || arg1 == SCHED_BATCH

      """#,
      "vcpu.policy": #"""
      # A virtual processor's thread: it runs the guest, and answers its accesses to ports and memory. No file is opened, no thread started.

      # What happens at every exit; then interrupts and doorbells, which the guest moves.
      ioctl: arg1 == KVM_RUN || arg1 == KVM_KVMCLOCK_CTRL || arg1 == KVM_SIGNAL_MSI || \
          arg1 == KVM_SET_GSI_ROUTING || arg1 == KVM_IRQFD || arg1 == KVM_IOEVENTFD

      # Eventfds, and a device's process behind its socket.
      write: 1
      recvmsg: 1
      sendmsg: 1
      poll: 1
      close: 1
      eventfd2: 1
      timerfd_settime: 1
      futex: 1

      brk: 1
      mmap: arg2 in PROT_READ|PROT_WRITE
      mprotect: arg2 in PROT_READ|PROT_WRITE
      munmap: 1
      madvise: arg2 == MADV_DONTNEED

      # Lines for the log daemon; one that was started anew is found again by the main thread.
      sendto: 1
      connect: return ECONNREFUSED

      clock_gettime: 1
      gettid: 1
      # The signal that takes it out of the guest; others are blocked by the C library when the thread ends.
      rt_sigprocmask: 1
      rt_sigreturn: 1
      restart_syscall: 1
      exit: 1
      exit_group: 1

      """#,
      "vhost_net.policy": #"""
      # The network card whose queues the host's kernel serves: queues of a tap and /dev/vhost-net, which arrive open.
      @include ./common_device.policy

      # What the guest takes, and which queues it uses; then the rings, which the kernel serves.
      ioctl: arg1 == TUNSETOFFLOAD || arg1 == TUNSETQUEUE || arg1 == TUNSETCARRIER || arg1 == VHOST_SET_OWNER || arg1 == VHOST_GET_FEATURES || \
          arg1 == VHOST_SET_FEATURES || arg1 == VHOST_SET_MEM_TABLE || arg1 == VHOST_SET_VRING_NUM || arg1 == VHOST_SET_VRING_ADDR || \
          arg1 == VHOST_SET_VRING_BASE || arg1 == VHOST_GET_VRING_BASE || arg1 == VHOST_SET_VRING_KICK || \
          arg1 == VHOST_SET_VRING_CALL || arg1 == VHOST_SET_VRING_ERR || arg1 == VHOST_NET_SET_BACKEND
      # The kernel's device is kept by a second descriptor.
      fcntl: arg1 == F_DUPFD_CLOEXEC
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "vhost_vsock.policy": #"""
      # The socket device of the host's kernel, which arrives open.
      @include ./common_device.policy

      # The kernel's device: its owner and features; then where memory and rings are, and begin and end, for each driver.
      ioctl: arg1 == VHOST_SET_OWNER || arg1 == VHOST_GET_FEATURES || arg1 == VHOST_SET_FEATURES || arg1 == VHOST_SET_MEM_TABLE || \
          arg1 == VHOST_SET_VRING_NUM || arg1 == VHOST_SET_VRING_BASE || arg1 == VHOST_GET_VRING_BASE || arg1 == VHOST_SET_VRING_ADDR || \
          arg1 == VHOST_SET_VRING_KICK || arg1 == VHOST_SET_VRING_CALL || arg1 == VHOST_SET_VRING_ERR || arg1 == VHOST_VSOCK_SET_RUNNING
      # A second descriptor of it.
      fcntl: arg1 == F_DUPFD_CLOEXEC
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "vsock.policy": #"""
      # The socket device that does without the kernel's: Unix sockets, which arrive connected or are accepted here.
      @include ./common_device.policy

      # Host programs connect; how many bytes wait is asked before they are read. Nothing may be made to block that others have open, too.
      accept4: arg3 == SOCK_CLOEXEC
      ioctl: arg1 == FIONREAD
      # One direction ends before the other.
      shutdown: 1
      # A host program that has no room for a connection is tried again; one that does not answer is given up.
      timerfd_create: 1
      timerfd_settime: 1
      # The last bytes, at the end; the other is the kernel's own, where a wait is continued after the process was stopped.
      poll: 1
      restart_syscall: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
    ]
  #elseif arch(arm64)
    /// Texts by file names.
    static let files: [String: String] = [
      "balloon.policy": #"""
      # The balloon device.
      @include ./common_device.policy

      # MADV_REMOVE is what gives the guest's memory back; the other is for stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_REMOVE || arg2 == MADV_DONTNEED

      """#,
      "block.policy": #"""
      # The disk device: an image file or a block device, which arrives open.
      @include ./common_device.policy

      # Requests go to the kernel in rings, or one by one where it has none. The rings were made before, and take nothing but what is allowed
      # here, too: reads, writes, flushes, allocation, and waits for events.
      io_uring_enter: 1
      io_uring_register: arg1 == IORING_REGISTER_ENABLE_RINGS || arg1 == IORING_REGISTER_RING_FDS
      preadv: 1
      pwritev2: 1
      fdatasync: 1
      # Discarded and zeroed blocks of a file, and of a block device; another size.
      fallocate: 1
      ioctl: arg1 == BLKDISCARD
      ftruncate: 1
      # The limits of iops and bandwidth wait for their time.
      timerfd_create: 1
      timerfd_settime: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED
      # Before an interrupt, others run for a moment.
      sched_yield: 1

      """#,
      "common.policy": #"""
      # What every process of crosvm may do: memory, threads, events, and the sockets between its processes.

      # Memory. Nothing becomes executable; each policy says itself which advice it gives about it.
      brk: 1
      mmap: arg2 in PROT_READ|PROT_WRITE
      mprotect: arg2 in PROT_READ|PROT_WRITE
      munmap: 1

      # Threads, with exactly the flags of the C library. It tries clone3 first, whose flags no filter sees, and without it takes clone.
      clone3: return ENOSYS
      clone: arg0 == CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM| \
          CLONE_SETTLS|CLONE_PARENT_SETTID|CLONE_CHILD_CLEARTID
      prctl: arg0 == PR_SET_NAME
      rseq: 1
      set_robust_list: 1
      # The handler of SIGSYS, which reports what is forbidden, stays.
      rt_sigaction: arg0 in 0x7f && arg0 != SIGSYS || arg1 == 0
      rt_sigprocmask: 1
      futex: 1
      gettid: 1
      exit: 1
      exit_group: 1

      # Events.
      epoll_ctl: 1
      epoll_pwait: 1
      eventfd2: 1
      read: 1
      write: 1
      close: 1
      # Requests and answers, with descriptors.
      recvmsg: 1
      sendmsg: 1

      # Where the vDSO cannot tell the time.
      clock_gettime: 1

      """#,
      "common_device.policy": #"""
      # What every device's process may do besides.
      @include ./common.policy

      epoll_create1: 1

      """#,
      "connector.policy": #"""
      # The process that connects Unix sockets for a device, and passes them on. It has one thread.

      socket: arg0 == AF_UNIX
      connect: 1
      recvmsg: 1
      sendmsg: 1
      close: 1
      exit_group: 1

      # Memory.
      brk: 1
      mmap: arg2 in PROT_READ|PROT_WRITE
      munmap: 1

      """#,
      "console.policy": #"""
      # The console device: its input and output arrive open.
      @include ./common_device.policy

      # Whether the input is a terminal.
      ioctl: arg1 == TCGETS
      # Whether the output is a file.
      newfstatat: arg3 == AT_EMPTY_PATH
      # Outputs that are sockets, and the system's log: to whom they are connected, and nobody else.
      sendto: arg4 == 0
      # Waits for who reads and who writes; the other is the kernel's own, where a wait is continued after the process was stopped.
      ppoll: 1
      restart_syscall: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "main.policy": #"""
      # The machine's own threads once the guest runs: the event loop, the control socket, serial ports. Those of processors obey vcpu.policy besides.
      @include ./common.policy

      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED
      # The virtual machine; then the terminal, which is put back at the end.
      ioctl: arg1 == KVM_RUN || arg1 == KVM_SIGNAL_MSI || arg1 == KVM_SET_GSI_ROUTING || \
          arg1 == KVM_IRQFD || arg1 == KVM_IOEVENTFD || arg1 == TCGETS || arg1 == TCSETS || arg1 == TIOCGPGRP
      # Whether the terminal is ours.
      getpgid: 1
      # Processors are taken out of the guest by a signal.
      getpid: 1
      tgkill: arg0 == SELF
      rt_sigreturn: 1
      # Waits for the launcher, which ends last, and others.
      ppoll: 1
      # The kernel's own, where a wait is continued after the process was stopped.
      restart_syscall: 1
      shutdown: 1
      wait4: 1
      # Timers of the clock and the interval timer.
      timerfd_settime: 1
      # How long an image of persistent memory is, when somebody has changed it.
      lseek: arg2 == SEEK_END
      # The control socket, and outputs that are sockets.
      accept4: arg3 == SOCK_CLOEXEC
      fcntl: arg1 == F_DUPFD_CLOEXEC
      recvfrom: 1
      sendto: 1
      # A datagram socket or log daemon that comes back is found again.
      connect: 1
      # Processors confine themselves further, and stay where --cpu-affinity wants them.
      seccomp: arg0 == SECCOMP_SET_MODE_FILTER
      sched_setaffinity: 1

      """#,
      "net.policy": #"""
      # The network card: the queues of a tap, which arrive open.
      @include ./common_device.policy

      # Frames, straight from and into the guest's memory.
      readv: 1
      writev: 1
      # What the guest takes, and which queues it uses.
      ioctl: arg1 == TUNSETOFFLOAD || arg1 == TUNSETQUEUE || arg1 == TUNSETCARRIER
      # The limits of pps and bandwidth wait for their time.
      timerfd_create: 1
      timerfd_settime: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED
      # Before an interrupt, others run for a moment; and where that brings more, a thread that is woken waits for its turn.
      sched_yield: 1
      sched_setscheduler: arg1 == SCHED_OTHER || arg1 == SCHED_BATCH

      """#,
      "pmem.policy": #"""
      # The persistent memory device: an image file or a block device, which arrives open. The machine maps it, not this process.
      @include ./common_device.policy

      # What the guest wrote goes to stable storage.
      fdatasync: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "rng.policy": #"""
      # The entropy device.
      @include ./common_device.policy

      getrandom: 1
      # A driver that asks for more than its share waits for the next period.
      timerfd_create: 1
      timerfd_settime: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "user_net.policy": #"""
      # The network card in the user's own network: a socket to passt, which arrives open.
      @include ./common_device.policy

      # Frames, over the socket; they are sent by sendmsg, which all devices may call.
      readv: 1
      # The limits of pps and bandwidth wait for their time.
      timerfd_create: 1
      timerfd_settime: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED
      # Before an interrupt, others run for a moment; and where that brings more, a thread that is woken waits for its turn.
      sched_yield: 1
      sched_setscheduler: arg1 == SCHED_OTHER || arg1 == SCHED_BATCH

      """#,
      "vcpu.policy": #"""
      # A virtual processor's thread: it runs the guest, and answers its accesses to ports and memory. No file is opened, no thread started.

      # What happens at every exit; then interrupts and doorbells, which the guest moves.
      ioctl: arg1 == KVM_RUN || arg1 == KVM_SIGNAL_MSI || \
          arg1 == KVM_SET_GSI_ROUTING || arg1 == KVM_IRQFD || arg1 == KVM_IOEVENTFD

      # Eventfds, and a device's process behind its socket.
      write: 1
      recvmsg: 1
      sendmsg: 1
      ppoll: 1
      close: 1
      eventfd2: 1
      timerfd_settime: 1
      futex: 1

      brk: 1
      mmap: arg2 in PROT_READ|PROT_WRITE
      mprotect: arg2 in PROT_READ|PROT_WRITE
      munmap: 1
      madvise: arg2 == MADV_DONTNEED

      # Lines for the log daemon; one that was started anew is found again by the main thread.
      sendto: 1
      connect: return ECONNREFUSED

      clock_gettime: 1
      gettid: 1
      # The signal that takes it out of the guest; others are blocked by the C library when the thread ends.
      rt_sigprocmask: 1
      rt_sigreturn: 1
      restart_syscall: 1
      exit: 1
      exit_group: 1

      """#,
      "vhost_net.policy": #"""
      # The network card whose queues the host's kernel serves: queues of a tap and /dev/vhost-net, which arrive open.
      @include ./common_device.policy

      # What the guest takes, and which queues it uses; then the rings, which the kernel serves.
      ioctl: arg1 == TUNSETOFFLOAD || arg1 == TUNSETQUEUE || arg1 == TUNSETCARRIER || arg1 == VHOST_SET_OWNER || arg1 == VHOST_GET_FEATURES || \
          arg1 == VHOST_SET_FEATURES || arg1 == VHOST_SET_MEM_TABLE || arg1 == VHOST_SET_VRING_NUM || arg1 == VHOST_SET_VRING_ADDR || \
          arg1 == VHOST_SET_VRING_BASE || arg1 == VHOST_GET_VRING_BASE || arg1 == VHOST_SET_VRING_KICK || \
          arg1 == VHOST_SET_VRING_CALL || arg1 == VHOST_SET_VRING_ERR || arg1 == VHOST_NET_SET_BACKEND
      # The kernel's device is kept by a second descriptor.
      fcntl: arg1 == F_DUPFD_CLOEXEC
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "vhost_vsock.policy": #"""
      # The socket device of the host's kernel, which arrives open.
      @include ./common_device.policy

      # The kernel's device: its owner and features; then where memory and rings are, and begin and end, for each driver.
      ioctl: arg1 == VHOST_SET_OWNER || arg1 == VHOST_GET_FEATURES || arg1 == VHOST_SET_FEATURES || arg1 == VHOST_SET_MEM_TABLE || \
          arg1 == VHOST_SET_VRING_NUM || arg1 == VHOST_SET_VRING_BASE || arg1 == VHOST_GET_VRING_BASE || arg1 == VHOST_SET_VRING_ADDR || \
          arg1 == VHOST_SET_VRING_KICK || arg1 == VHOST_SET_VRING_CALL || arg1 == VHOST_SET_VRING_ERR || arg1 == VHOST_VSOCK_SET_RUNNING
      # A second descriptor of it.
      fcntl: arg1 == F_DUPFD_CLOEXEC
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
      "vsock.policy": #"""
      # The socket device that does without the kernel's: Unix sockets, which arrive connected or are accepted here.
      @include ./common_device.policy

      # Host programs connect; how many bytes wait is asked before they are read. Nothing may be made to block that others have open, too.
      accept4: arg3 == SOCK_CLOEXEC
      ioctl: arg1 == FIONREAD
      # One direction ends before the other.
      shutdown: 1
      # A host program that has no room for a connection is tried again; one that does not answer is given up.
      timerfd_create: 1
      timerfd_settime: 1
      # The last bytes, at the end; the other is the kernel's own, where a wait is continued after the process was stopped.
      ppoll: 1
      restart_syscall: 1
      # Stacks of ended threads, and program text that only the start needed.
      madvise: arg2 == MADV_DONTNEED

      """#,
    ]
  #endif
}
