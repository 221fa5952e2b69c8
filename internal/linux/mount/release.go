// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package mount

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Device returns the number of the device that the file system at path lies on (statx stx_dev).
func Device(path string) (major, minor uint32, err error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, 0, &st); err != nil {
		return 0, 0, fmt.Errorf("cannot look at %s: %w", path, err)
	}
	return st.Dev_major, st.Dev_minor, nil
}

// Release takes the mount at path away if nobody uses it; otherwise the error wraps EBUSY and it stays.
func Release(path string) error {
	if err := unix.Unmount(path, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("cannot unmount %s: %w", path, err)
	}
	return nil
}
