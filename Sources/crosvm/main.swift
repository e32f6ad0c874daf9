import Glibc

exit(Crosvm.main(CommandLine.arguments))
