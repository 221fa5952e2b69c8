// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package files asks the kernel about files what package os does not: where they are, when they were made, what identifies them.
package files

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Info describes a file.
type Info struct {
	Mode         os.FileMode
	Major, Minor uint32 // of the device that it lies on
	Inode        uint64
	// Birth is when the file was made, the zero time where the file system does not say.
	Birth, Modified time.Time
	// MountID identifies the mount that it is seen through, for as long as the system runs (Linux 6.8; before that the number can come again).
	MountID uint64
	// HandleType and Handle (hexadecimal) identify the file for as long as the file system lives; empty where that has none.
	HandleType int32
	Handle     string
	// ReadOnly says that nothing on the file system can be written.
	ReadOnly bool
	// Subvolume says that it is the root of a btrfs subvolume.
	Subvolume bool
}

// Look describes the file at path, links followed.
func Look(path string) (Info, error) {
	fail := func(err error) (Info, error) { return Info{}, fmt.Errorf("cannot look at %s: %w", path, err) }
	var st unix.Statx_t
	const mask = unix.STATX_BASIC_STATS | unix.STATX_BTIME | unix.STATX_MNT_ID
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_NO_AUTOMOUNT, mask|unix.STATX_MNT_ID_UNIQUE, &st)
	if errors.Is(err, unix.EINVAL) {
		err = unix.Statx(unix.AT_FDCWD, path, unix.AT_NO_AUTOMOUNT, mask, &st)
	}
	if err != nil {
		return fail(err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return fail(err)
	}
	// The root of every subvolume has this inode.
	const subvolumeInode = 256
	info := Info{
		Mode: mode(st.Mode), Major: st.Dev_major, Minor: st.Dev_minor, Inode: st.Ino, MountID: st.Mnt_id,
		Modified: moment(st.Mtime), ReadOnly: fs.Flags&unix.ST_RDONLY != 0,
		Subvolume: int64(fs.Type) == unix.BTRFS_SUPER_MAGIC && st.Ino == subvolumeInode && st.Mode&unix.S_IFMT == unix.S_IFDIR,
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		info.Birth = moment(st.Btime)
	}
	if h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW); err == nil {
		info.HandleType, info.Handle = h.Type(), hex.EncodeToString(h.Bytes())
	}
	return info, nil
}

func moment(t unix.StatxTimestamp) time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }

// mode has the type of the file and its permissions without the special ones.
func mode(m uint16) os.FileMode {
	out := os.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFDIR:
		out |= os.ModeDir
	case unix.S_IFBLK:
		out |= os.ModeDevice
	case unix.S_IFREG:
	default:
		out |= os.ModeIrregular
	}
	return out
}

// maxAttribute bounds an extended attribute that is read.
const maxAttribute = 256

// Attribute returns an extended attribute of the file at path, links followed, up to a zero byte. ok is false if it has none that can be read.
func Attribute(path, name string) (value string, ok bool) {
	b := make([]byte, maxAttribute)
	n, err := unix.Getxattr(path, name, b)
	if err != nil {
		return "", false
	}
	value, _, _ = strings.Cut(string(b[:n]), "\x00")
	return value, true
}

// HasAttribute reports whether the file at path, links followed, has an extended attribute, however long. An attribute that cannot be asked for is one that
// it has: who may not look must not take it for missing.
func HasAttribute(path, name string) bool {
	_, err := unix.Getxattr(path, name, nil)
	return !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.EOPNOTSUPP)
}

// Lock opens the file at path, which is made if it is missing, and waits until this process alone has it. Closing it lets the next one in.
func Lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the lock: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// fitrim is FITRIM, _IOWR('X', 121, struct fstrim_range) of linux/fs.h.
const fitrim = 0xc0185879

// Trim has the device below a file system that is mounted at path forget the blocks that are free (FITRIM, linux/fs.h), and returns how many bytes those
// were. The error wraps EOPNOTSUPP where file system or device cannot do that.
func Trim(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := struct{ start, length, min uint64 }{length: math.MaxUint64}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fitrim, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return 0, fmt.Errorf("cannot trim %s: %w", path, errno)
	}
	return int64(r.length), nil
}

// getSubvolInfo is BTRFS_IOC_GET_SUBVOL_INFO, _IOR(0x94, 60, struct btrfs_ioctl_get_subvol_info_args) of linux/btrfs.h (Linux 4.18).
const getSubvolInfo = 0x81f8943c

// SubvolumeTime returns when the btrfs subvolume at path was made. [Info.Birth] of a snapshot's root is that of what it was taken of.
func SubvolumeTime(path string) (time.Time, error) {
	f, err := os.Open(path)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	type timespec struct {
		sec  uint64
		nsec uint32
	}
	var info struct {
		tree               uint64
		name               [256]byte
		parent, dir        uint64
		generation, flags  uint64
		uuids              [3][16]byte
		transids           [4]uint64
		ctime, otime, s, r timespec
		reserved           [8]uint64
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), getSubvolInfo, uintptr(unsafe.Pointer(&info))); errno != 0 {
		return time.Time{}, fmt.Errorf("cannot ask about the subvolume %s: %w", path, errno)
	}
	return time.Unix(int64(info.otime.sec), int64(info.otime.nsec)), nil
}
