// libseccomp, and those of its macros that Swift cannot import.
#ifndef CSECCOMP_H
#define CSECCOMP_H

#include <seccomp.h>

static const uint32_t cseccomp_ARCH_X86_64 = SCMP_ARCH_X86_64, cseccomp_ARCH_AARCH64 = SCMP_ARCH_AARCH64;
static inline uint32_t cseccomp_ACT_ERRNO(uint16_t code) { return SCMP_ACT_ERRNO(code); }

#endif
