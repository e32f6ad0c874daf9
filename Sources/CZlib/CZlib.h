// zlib, and the one of its calls that is a macro.
#ifndef CZLIB_H
#define CZLIB_H

#include <zlib.h>

// A raw deflate stream: no header, no checksum, the largest window (zlib.h, inflateInit2).
static inline int czlib_begin_raw_inflate(z_stream *stream) { return inflateInit2(stream, -15); }

#endif
