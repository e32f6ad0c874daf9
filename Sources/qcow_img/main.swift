import Glibc
import Platform

do { exit(QcowImg.main(Array(try ProgramArguments.read().dropFirst()))) } catch {
  QcowImg.complain("qcow_img: \(error)\n")
  exit(2)
}
