// Shims for what Swift cannot import: ioctl request macros, variadic calls, flexible array members.
// Headers only, `static inline` only; every function is a single system call or a single expression.
#ifndef CLINUX_H
#define CLINUX_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

static inline int clinux_ioctl_value(int fd, unsigned long request, unsigned long value) { return ioctl(fd, request, value); }
static inline int clinux_ioctl_pointer(int fd, unsigned long request, void *argument) { return ioctl(fd, request, argument); }

#endif
