// LD_PRELOAD: a V4L2 capture device at FAKE_V4L2 that gives a frame every 10 ms while a buffer is queued.
// FAKE_V4L2_FORMAT: its only format (four characters). FAKE_V4L2_JPEG: the file MJPG frames consist of.
// FAKE_V4L2_UNPLUG=n: gone after n frames. FAKE_V4L2_STALL=n: silent after n frames. FAKE_V4L2_GAP=n: from frame n on every
// other one is lost. FAKE_V4L2_STALE=n: frames were taken n seconds before they come.
// Frames: GREY, RGGB and Y of YUYV are the frame's number at every pixel (U 90, V 160); RGB3 is (x, y, number).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// queue[head..done) are filled, queue[done..tail) wait for a frame.
static int camera = -1, streaming, buffers, queue[32];
static unsigned width, height, head, done, tail, seen, numbers[8];
static double started;

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static unsigned setting(const char *name) { const char *s = getenv(name); return s ? atoi(s) : 0; }
static const char *format(void) { const char *s = getenv("FAKE_V4L2_FORMAT"); return s ? s : "YUYV"; }
static unsigned pixel_bytes(void) { return !strcmp(format(), "GREY") || !strcmp(format(), "RGGB") ? 1 : !strcmp(format(), "RGB3") ? 3 : 2; }
static size_t length(void) { return ((size_t)width * height * 3 + 4095) & ~4095ul; }
static int gone(void) { unsigned n = setting("FAKE_V4L2_UNPLUG"); return n && seen >= n; }

// The sensor's frames go into the buffers that wait, in order; without one they are lost.
static void advance(void) {
  unsigned stall = setting("FAKE_V4L2_STALL"), gap = setting("FAKE_V4L2_GAP"), finished = streaming ? (now() - started) * 100 : 0;
  if (stall && finished > stall) finished = stall;
  for (; seen < finished; seen++) if (done < tail && !(gap && seen >= gap && seen % 2)) numbers[queue[done++ % 32]] = seen;
}
static int ready(void) { advance(); return gone() || head < done; }

static void fill(struct v4l2_format *f) {
  struct v4l2_pix_format *p = &f->fmt.pix;
  p->width = width; p->height = height; p->field = V4L2_FIELD_NONE;
  memcpy(&p->pixelformat, format(), 4);
  p->bytesperline = width * pixel_bytes(); p->sizeimage = length();
}

static unsigned draw(int buffer, unsigned number) {
  uint8_t *page = mmap(0, length(), PROT_READ | PROT_WRITE, MAP_SHARED, camera, buffer * length());
  unsigned used = width * height * pixel_bytes();
  if (!strcmp(format(), "MJPG")) {
    FILE *file = fopen(getenv("FAKE_V4L2_JPEG"), "rb");
    used = fread(page, 1, length(), file);
    fclose(file);
  } else for (unsigned i = 0; i < width * height; i++) {
    if (pixel_bytes() == 1) page[i] = number;
    else if (pixel_bytes() == 2) { page[2 * i] = number; page[2 * i + 1] = i & 1 ? 160 : 90; }
    else { page[3 * i] = i % width; page[3 * i + 1] = i / width; page[3 * i + 2] = number; }
  }
  munmap(page, length());
  return used;
}

static int control(unsigned long request, void *argument) {
  if (gone()) { errno = ENODEV; return -1; }
  switch (request & 0xffffffffu) {
  case VIDIOC_S_FMT: { struct v4l2_format *f = argument; width = f->fmt.pix.width; height = f->fmt.pix.height; fill(f); return 0; }
  case VIDIOC_G_FMT: fill(argument); return 0;
  case VIDIOC_REQBUFS: { struct v4l2_requestbuffers *b = argument; buffers = b->count > 8 ? 8 : b->count; b->count = buffers; head = done = tail = 0; return ftruncate(camera, buffers * length()); }
  case VIDIOC_QUERYBUF: { struct v4l2_buffer *b = argument; b->length = length(); b->m.offset = b->index * length(); return 0; }
  case VIDIOC_QBUF: {
    struct v4l2_buffer *b = argument;
    advance();
    for (unsigned i = head; i < tail; i++) if (queue[i % 32] == (int)b->index) { errno = EINVAL; return -1; }
    queue[tail++ % 32] = b->index; return 0; }
  case VIDIOC_STREAMON: streaming = 1; started = now(); seen = 0; return 0;
  case VIDIOC_STREAMOFF: streaming = 0; head = done = tail = 0; return 0;
  case VIDIOC_DQBUF: {
    struct v4l2_buffer *b = argument;
    if (!ready()) { errno = EAGAIN; return -1; }
    if (gone()) { errno = ENODEV; return -1; }
    b->index = queue[head++ % 32]; b->sequence = numbers[b->index]; b->flags = V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_DONE | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    double taken = started + (b->sequence + 1) * 0.01 - setting("FAKE_V4L2_STALE");
    b->timestamp.tv_sec = taken; b->timestamp.tv_usec = (taken - b->timestamp.tv_sec) * 1e6;
    b->bytesused = draw(b->index, b->sequence); return 0; }
  }
  errno = ENOTTY; return -1;
}

#define OPEN(name) int name(const char *path, int flags, ...) { \
  va_list v; va_start(v, flags); int mode = va_arg(v, int); va_end(v); \
  const char *fake = getenv("FAKE_V4L2"); \
  if (fake && path && !strcmp(path, fake)) { if (gone()) { errno = ENOENT; return -1; } return camera = memfd_create("camera", MFD_CLOEXEC); } \
  return syscall(SYS_openat, AT_FDCWD, path, flags, mode); }
OPEN(open) OPEN(open64)

int poll(struct pollfd *fds, nfds_t count, int timeout) {
  static int (*real)(struct pollfd *, nfds_t, int);
  if (!real) real = dlsym(RTLD_NEXT, "poll");
  if (count != 1 || camera < 0 || fds[0].fd != camera) return real(fds, count, timeout);
  for (double end = now() + timeout * 1e-3;;) {
    if (ready()) { fds[0].revents = POLLIN; return 1; }
    if (timeout >= 0 && now() >= end) { fds[0].revents = 0; return 0; }
    usleep(500);
  }
}

long syscall(long n, ...) {
  va_list v; long a[6]; va_start(v, n); for (int i = 0; i < 6; i++) a[i] = va_arg(v, long); va_end(v);
  if (n == SYS_ioctl && camera >= 0 && (int)a[0] == camera) return control(a[1], (void *)a[2]);
  static long (*real)(long, ...); if (!real) real = dlsym(RTLD_NEXT, "syscall");
  return real(n, a[0], a[1], a[2], a[3], a[4], a[5]);
}
