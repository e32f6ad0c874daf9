import DiskImage
import Glibc
import Platform

// image-bench FILE FORMAT COUNT DEPTH SIZE STEP read|write: makes COUNT requests of SIZE bytes, DEPTH at a time, each STEP bytes after the
// one before (around the end of the image), as `qemu-img bench` does, and prints how many seconds that took.
//
// image-bench memory FILE COUNT [CACHE-SIZE]: reads COUNT sectors all over a qcow2 image, whose tables and those of its backing files may
// take CACHE-SIZE bytes, and prints by how many bytes the process has grown meanwhile.
exit(ImageBench.main(CommandLine.arguments))
