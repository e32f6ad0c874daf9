// The physical limit: the least program that runs a firmware image over the KVM interface. usage: floor IMAGE
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int check(const char *what, long result) {
  if (result < 0) {
    perror(what);
    _exit(1);
  }
  return (int)result;
}

static void *check_map(void *address) {
  check("mmap", address == MAP_FAILED ? -1 : 0);
  return address;
}

static void add_memory(int machine, unsigned slot, uint64_t at, uint64_t size, void *host) {
  struct kvm_userspace_memory_region region = {slot, 0, at, size, (uintptr_t)host};
  check("KVM_SET_USER_MEMORY_REGION", ioctl(machine, KVM_SET_USER_MEMORY_REGION, &region));
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  int kvm = check("/dev/kvm", open("/dev/kvm", O_RDWR | O_CLOEXEC));
  int machine = check("KVM_CREATE_VM", ioctl(kvm, KVM_CREATE_VM, 0));
  check("KVM_SET_TSS_ADDR", ioctl(machine, KVM_SET_TSS_ADDR, 0xfffbd000UL));
  // Before any memory: after the first slot, the kernel waits here for several milliseconds.
  check("KVM_CREATE_IRQCHIP", ioctl(machine, KVM_CREATE_IRQCHIP, 0));

  struct stat status;
  int file = check(argv[1], open(argv[1], O_RDONLY | O_CLOEXEC));
  check("fstat", fstat(file, &status));
  uint64_t size = status.st_size, ram = 128 << 20;
  void *image = check_map(mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0));
  void *memory = check_map(mmap(0, ram, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  add_memory(machine, 0, 0, ram, memory);
  add_memory(machine, 1, (1ULL << 32) - size, size, image);

  int processor = check("KVM_CREATE_VCPU", ioctl(machine, KVM_CREATE_VCPU, 0));
  int run_size = check("KVM_GET_VCPU_MMAP_SIZE", ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
  struct kvm_run *run = check_map(mmap(0, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, processor, 0));
  for (;;) {
    check("KVM_RUN", ioctl(processor, KVM_RUN, 0));
    switch (run->exit_reason) {
      case KVM_EXIT_MMIO: break;
      case KVM_EXIT_IO: {
        const unsigned char *data = (const unsigned char *)run + run->io.data_offset;
        if (run->io.port == 0x3f8) check("write", write(1, data, 1));
        if (run->io.port == 0x64 && *data == 0xfe) return 0;
        break;
      }
      default: fprintf(stderr, "exit reason %u\n", run->exit_reason); return 1;
    }
  }
}
