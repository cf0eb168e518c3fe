/*
 * A file system for tests: a read-only view of a folder whose files behave as their names say.
 *
 *   fault-fs SOURCE MOUNTPOINT [fuse options]
 *
 *   slow-*   each read takes $SLOW_MS milliseconds, opening and asking about it $META_MS
 *   bad-*    reads that touch bytes from $BAD_FROM on fail with EIO
 *   *        as they are
 *
 * Build: cc -O2 fault-fs.c -o fault-fs $(pkg-config --cflags --libs fuse3)
 */
#define FUSE_USE_VERSION 312
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char source[PATH_MAX];
static long slow_ms, meta_ms;
static long long bad_from;

static long number(const char *name) {
  const char *text = getenv(name);
  return text == NULL ? 0 : atol(text);
}

static int is_named(const char *path, const char *prefix) {
  const char *slash = strrchr(path, '/');
  const char *name = slash == NULL ? path : slash + 1;
  return strncmp(name, prefix, strlen(prefix)) == 0;
}

static void wait_ms(long ms) {
  struct timespec left = {ms / 1000, (ms % 1000) * 1000000L};
  while (ms > 0 && nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

static void real(char out[PATH_MAX], const char *path) {
  if (snprintf(out, PATH_MAX, "%s%s", source, path) >= PATH_MAX) out[0] = '\0';
}

static int fault_getattr(const char *path, struct stat *out, struct fuse_file_info *file) {
  char at[PATH_MAX];
  (void)file;
  real(at, path);
  if (is_named(path, "slow-")) wait_ms(meta_ms);
  return lstat(at, out) == 0 ? 0 : -errno;
}

static int fault_open(const char *path, struct fuse_file_info *file) {
  char at[PATH_MAX];
  real(at, path);
  if (is_named(path, "slow-")) wait_ms(meta_ms);
  if ((file->flags & O_ACCMODE) != O_RDONLY) return -EROFS;
  int fd = open(at, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  file->fh = (uint64_t)fd;
  /* what is in memory stays there when the file is opened again, as on a disk */
  file->keep_cache = 1;
  return 0;
}

static int fault_release(const char *path, struct fuse_file_info *file) {
  (void)path;
  close((int)file->fh);
  return 0;
}

static int fault_read(const char *path, char *out, size_t size, off_t offset,
                      struct fuse_file_info *file) {
  if (is_named(path, "slow-")) wait_ms(slow_ms);
  if (is_named(path, "bad-") && offset + (long long)size > bad_from) return -EIO;
  ssize_t count = pread((int)file->fh, out, size, offset);
  return count < 0 ? -errno : (int)count;
}

static int fault_readdir(const char *path, void *out, fuse_fill_dir_t fill, off_t offset,
                         struct fuse_file_info *file, enum fuse_readdir_flags flags) {
  char at[PATH_MAX];
  (void)offset, (void)file, (void)flags;
  real(at, path);
  DIR *folder = opendir(at);
  if (folder == NULL) return -errno;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
    if (fill(out, entry->d_name, NULL, 0, 0) != 0) break;
  closedir(folder);
  return 0;
}

static const struct fuse_operations operations = {
    .getattr = fault_getattr,
    .open = fault_open,
    .release = fault_release,
    .read = fault_read,
    .readdir = fault_readdir,
};

int main(int argc, char **argv) {
  if (argc < 3 || realpath(argv[1], source) == NULL) {
    fprintf(stderr, "usage: fault-fs SOURCE MOUNTPOINT [fuse options]\n");
    return 2;
  }
  slow_ms = number("SLOW_MS");
  meta_ms = number("META_MS");
  bad_from = number("BAD_FROM");
  argv[1] = argv[0];
  return fuse_main(argc - 1, argv + 1, &operations, NULL);
}
