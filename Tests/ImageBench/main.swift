import DiskImage
import Glibc
import Platform

// image-bench FILE FORMAT COUNT DEPTH SIZE STEP read|write: makes COUNT requests of SIZE bytes, DEPTH at a time, each STEP bytes after the
// one before (around the end of the image), as `qemu-img bench` does, and prints how many seconds that took.
exit(ImageBench.main(CommandLine.arguments))
