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
    let segments = (0..<Int(getauxval(UInt(AT_PHNUM)))).map { unsafe first[$0] }.filter { $0.p_type == PT_LOAD }
    // The headers are in the program's first page, behind the ELF header; where that page was linked to tells how far all was moved, which
    // is nowhere for a program that is not position-independent.
    guard let start = segments.first(where: { $0.p_offset == 0 }) else { return }
    let shift = (headers & ~pageMask) &- UInt(start.p_vaddr)
    // Executable and not writable: the pages are those of the file, and are read again from there. (A debugger's breakpoints go.)
    for segment in segments where segment.p_flags == PF_R | PF_X {
      let start = (shift &+ UInt(segment.p_vaddr)) & ~pageMask
      let end = (shift &+ UInt(segment.p_vaddr) &+ UInt(segment.p_memsz) &+ pageMask) & ~pageMask
      _ = unsafe madvise(UnsafeMutableRawPointer(bitPattern: start), Int(end - start), MADV_DONTNEED)
    }
  }
}
