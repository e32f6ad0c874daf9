import Glibc

StandardStreams.occupyClosed()
StandardStreams.outliveReaders()
StandardStreams.outliveFullFiles()
exit(Crosvm.main(CommandLine.arguments))
