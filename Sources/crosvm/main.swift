import Glibc
import Platform

StandardStreams.occupyClosed()
StandardStreams.outliveReaders()
StandardStreams.outliveFullFiles()
do { exit(Crosvm.main(try ProgramArguments.read())) } catch {
  StandardStreams.complain("crosvm: \(error)")
  exit(ExitStatus.usage.rawValue)
}
