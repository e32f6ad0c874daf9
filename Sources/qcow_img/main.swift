import Glibc

exit(QcowImg.main(Array(CommandLine.arguments.dropFirst())))
