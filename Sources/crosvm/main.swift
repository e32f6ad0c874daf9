import Glibc

StandardStreams.occupyClosed()
exit(Crosvm.main(CommandLine.arguments))
