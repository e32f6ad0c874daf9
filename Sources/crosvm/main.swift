import Glibc

StandardStreams.occupyClosed()
StandardStreams.outliveReaders()
exit(Crosvm.main(CommandLine.arguments))
