/* SPDX-License-Identifier: GPL-2.0-only */
#include "userspace/plane/pins.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "userspace/plane/bpfsys.h"

/* Is `path` a pin of this very map? */
static bool is_pinned(const char *path, int fd)
{
	struct bpf_map_info there, here;
	int pinned = bpfsys_obj_get(path);
	bool same;

	if (pinned < 0)
		return false;
	same = !bpfsys_map_info(pinned, &there) && !bpfsys_map_info(fd, &here) &&
	       there.id == here.id;
	close(pinned);
	return same;
}

static int pin(const char *dir, enum plane_map which, int fd)
{
	char path[192];
	int err;

	snprintf(path, sizeof(path), "%s/%s", dir, plane_map_names[which]);
	if (is_pinned(path, fd))
		return 0;
	if (unlink(path) && errno != ENOENT)
		return -errno;
	err = bpfsys_obj_pin(fd, path);
	if (!err && chmod(path, 0600))
		err = -errno;
	return err;
}

int pins_make(const struct plane *p)
{
	char dir[128], *slash;
	int err = plane_pin_dir(dir, sizeof(dir));

	if (err)
		return err;
	slash = strrchr(dir, '/');
	*slash = '\0';
	if (mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	*slash = '/';
	if (mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	for (int i = 0; i < PLANE_MAPS && !err; i++)
		err = pin(dir, (enum plane_map)i, p->map[i]);
	return err;
}

void pins_remove(void)
{
	char dir[128], path[192], *slash;

	if (plane_pin_dir(dir, sizeof(dir)))
		return;
	for (int i = 0; i < PLANE_MAPS; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, plane_map_names[i]);
		unlink(path);
	}
	rmdir(dir);
	slash = strrchr(dir, '/');
	*slash = '\0';
	rmdir(dir); /* stays while another namespace has pins there */
}
