/* Disk images in the qcow2 format, for programs in C.
 *
 * Every function returns 0, or a negated errno(3): -EINVAL where an image is not sound, of a format that is not supported, its own
 * target, or a size not possible; -EBADF for a descriptor that is not open as needed. */
#ifndef QCOW_UTILS_H
#define QCOW_UTILS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes a new file at `path` with an empty disk of `virtual_size` bytes, a multiple of 512. -EEXIST where there is one. */
int create_qcow_with_size(const char *path, uint64_t virtual_size);

/* Makes the disk of a raw or qcow2 image larger: `virtual_size` bytes, a multiple of 512. No other user may have the image open. */
int expand_disk_image(const char *path, uint64_t virtual_size);

/* Writes the content of the image open as `src_fd`, whatever its format, as a qcow2 image to `dst_fd`, which is open for reading and
 * writing and is emptied first. Backing files are not followed. */
int convert_to_qcow2(int src_fd, int dst_fd);

/* The same, as a raw image. */
int convert_to_raw(int src_fd, int dst_fd);

#ifdef __cplusplus
}
#endif
#endif
