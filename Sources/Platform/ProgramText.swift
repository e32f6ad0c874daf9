internal import CLinux
internal import Glibc

/// The program's own instructions in memory.
public enum ProgramText {
  /// Gives back the pages of instructions that were used so far, for a process whose work is different from now on.
  ///
  /// What is needed again comes back from the host's page cache, a few pages at a time. A start-up touches most of a program, and what runs
  /// for days a small part; the rest would count as the process's memory all that time.
  public static func release() {
    let headers = UInt(getauxval(UInt(AT_PHDR)))
    let pageMask = UInt(getpagesize()) - 1
    guard let first = unsafe UnsafePointer<Elf64_Phdr>(bitPattern: headers) else { return }
    // The kernel says where they are: right behind the ELF header, in the program's first page, and how many.
    let base = headers & ~pageMask
    for index in 0..<Int(getauxval(UInt(AT_PHNUM))) {
      let segment = unsafe first[index]
      // Loaded, executable, and not writable: its pages are those of the file, and are read again from there.
      guard segment.p_type == PT_LOAD, segment.p_flags == PF_R | PF_X else { continue }
      let start = (base &+ UInt(segment.p_vaddr)) & ~pageMask
      let end = (base &+ UInt(segment.p_vaddr) &+ UInt(segment.p_memsz) &+ pageMask) & ~pageMask
      _ = unsafe madvise(UnsafeMutableRawPointer(bitPattern: start), Int(end - start), MADV_DONTNEED)
    }
  }
}
