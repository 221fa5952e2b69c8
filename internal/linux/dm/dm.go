// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package dm drives the kernel's device mapper through /dev/mapper/control.
//
// It speaks the ioctl interface of include/uapi/linux/dm-ioctl.h, version 4, and knows nothing of what the tables mean:
// a target line is text that somebody else made. A device is made in the steps that dmsetup uses (create, load, resume),
// so a device whose table the kernel refuses never becomes visible. Nothing here waits for udev: in stage 1 there is none,
// and devtmpfs makes the node before the ioctl returns.
package dm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/dmtable"
	"github.com/initddi/initddi/internal/linux/process"
)

// Limits of include/uapi/linux/dm-ioctl.h; both lengths include the closing NUL.
const (
	nameLen    = unix.DM_NAME_LEN
	uuidLen    = unix.DM_UUID_LEN
	headerSize = int(unsafe.Sizeof(unix.DmIoctl{}))
	specSize   = int(unsafe.Sizeof(unix.DmTargetSpec{}))
	// MaxTableBytes bounds what one table may take in the kernel's memory: 65,536 dm-linear targets need 6 MiB.
	MaxTableBytes = 16 << 20
)

// ErrTooLarge says that a table does not fit into [MaxTableBytes].
var ErrTooLarge = errors.New("device mapper table too large")

// Info is what the kernel says about a device.
type Info struct {
	Name, UUID   string
	Major, Minor uint32
	OpenCount    int32
	ReadOnly     bool
	Suspended    bool
}

// Node returns the device's path below /dev, which devtmpfs makes.
func (i Info) Node() string { return fmt.Sprintf("dm-%d", i.Minor) }

// Number returns a block device as tables name it, MAJOR:MINOR.
func Number(f *os.File) (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", fmt.Errorf("cannot find out the number of %s: %w", f.Name(), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return "", fmt.Errorf("cannot find out the number of %s: %w", f.Name(), unix.ENOTBLK)
	}
	runtime.KeepAlive(f)
	return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)), nil
}

// Control is an open /dev/mapper/control.
type Control struct{ f *os.File }

// Open opens the control node, normally /dev/mapper/control. The dm-mod module must be there.
func Open(path string) (*Control, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the device mapper: %w", err)
	}
	return &Control{f}, nil
}

// Close gives the control node up. Devices stay.
func (c *Control) Close() error { return c.f.Close() }

// Create makes a device without a table. uuid may be empty and set later by [Control.SetUUID], once.
func (c *Control) Create(name, uuid string) (Info, error) {
	return c.do("create", unix.DM_DEV_CREATE, name, uuid, 0, nil)
}

// Load gives the device a table that becomes live at the next [Control.Resume]. A read-only table makes the device refuse writes.
func (c *Control) Load(name string, readOnly bool, targets []dmtable.Target) error {
	payload, err := encodeTargets(targets)
	if err != nil {
		return fmt.Errorf("cannot load a table into %s: %w", name, err)
	}
	var flags uint32
	if readOnly {
		flags = unix.DM_READONLY_FLAG
	}
	_, err = c.call("load a table into", unix.DM_TABLE_LOAD, name, "", flags, payload, uint32(len(targets)))
	return err
}

// Resume makes the loaded table live. For a device that already had one it first suspends it, without asking the file
// system above to freeze: nothing is written to a read-only one.
func (c *Control) Resume(name string) error {
	_, err := c.do("resume", unix.DM_DEV_SUSPEND, name, "", unix.DM_SKIP_LOCKFS_FLAG, nil)
	return err
}

// Rename gives the device another name.
func (c *Control) Rename(name, newName string) error {
	return c.rename(name, newName, nameLen, 0)
}

// SetUUID gives a device that has none its UUID; the kernel allows that once.
func (c *Control) SetUUID(name, uuid string) error {
	return c.rename(name, uuid, uuidLen, unix.DM_UUID_FLAG)
}

func (c *Control) rename(name, text string, limit int, flags uint32) error {
	if text == "" || len(text) >= limit || strings.ContainsRune(text, 0) {
		return fmt.Errorf("cannot rename device mapper device %s to %q: %w", name, text, unix.EINVAL)
	}
	_, err := c.do("rename", unix.DM_DEV_RENAME, name, "", flags, append([]byte(text), 0))
	return err
}

// Remove removes the device: at once if nobody has it open, and with deferred set, otherwise as soon as the last user is gone.
func (c *Control) Remove(name string, deferred bool) error {
	var flags uint32
	if deferred {
		flags = unix.DM_DEFERRED_REMOVE
	}
	_, err := c.do("remove", unix.DM_DEV_REMOVE, name, "", flags, nil)
	return err
}

// Stat returns what the kernel knows of the device.
func (c *Control) Stat(name string) (Info, error) {
	return c.do("look at", unix.DM_DEV_STATUS, name, "", 0, nil)
}

// Status returns the targets' status text, one a target; for dm-verity "V" while every block that was read is as it should be, "C" after a corrupt one.
func (c *Control) Status(name string) ([]string, error) {
	const room = 64 << 10
	out, err := c.call("ask the status of", unix.DM_TABLE_STATUS, name, "", 0, make([]byte, room), 0)
	if err != nil {
		return nil, err
	}
	h := (*unix.DmIoctl)(unsafe.Pointer(&out[0]))
	data := out[min(int(h.Data_start), len(out)):]
	var status []string
	pos := 0
	for range h.Target_count {
		if pos+specSize > len(data) {
			break
		}
		next := int(binary.NativeEndian.Uint32(data[pos+20:]))
		text, _, _ := bytes.Cut(data[pos+specSize:], []byte{0})
		status = append(status, string(text))
		if next <= 0 {
			break
		}
		pos = next
	}
	return status, nil
}

// encodeTargets lays the targets out as struct dm_target_spec, each followed by its NUL-terminated parameters and padded to 8 bytes.
func encodeTargets(targets []dmtable.Target) ([]byte, error) {
	var b []byte
	for _, t := range targets {
		if t.Type == "" || len(t.Type) > 15 || strings.ContainsRune(t.Type+t.Params, 0) {
			return nil, fmt.Errorf("target %q: %w", t.Type, unix.EINVAL)
		}
		size := (specSize + len(t.Params) + 1 + 7) &^ 7
		if len(b)+size > MaxTableBytes {
			return nil, ErrTooLarge
		}
		spec := make([]byte, size)
		binary.NativeEndian.PutUint64(spec[0:], t.Start)
		binary.NativeEndian.PutUint64(spec[8:], t.Length)
		binary.NativeEndian.PutUint32(spec[20:], uint32(size))
		copy(spec[24:39], t.Type)
		copy(spec[specSize:], t.Params)
		b = append(b, spec...)
	}
	return b, nil
}

func (c *Control) do(verb string, cmd uint, name, uuid string, flags uint32, payload []byte) (Info, error) {
	out, err := c.call(verb, cmd, name, uuid, flags, payload, 0)
	if err != nil {
		return Info{}, err
	}
	h := (*unix.DmIoctl)(unsafe.Pointer(&out[0]))
	return Info{
		Name: text(h.Name[:]), UUID: text(h.Uuid[:]),
		Major: unix.Major(h.Dev), Minor: unix.Minor(h.Dev),
		OpenCount: h.Open_count,
		ReadOnly:  h.Flags&unix.DM_READONLY_FLAG != 0,
		Suspended: h.Flags&unix.DM_SUSPEND_FLAG != 0,
	}, nil
}

// call is the one place that talks to the kernel. It returns the buffer the kernel wrote back.
func (c *Control) call(verb string, cmd uint, name, uuid string, flags uint32, payload []byte, targets uint32) ([]byte, error) {
	if name == "" || len(name) >= nameLen || len(uuid) >= uuidLen || strings.ContainsRune(name+uuid, 0) {
		return nil, fmt.Errorf("cannot %s device mapper device %q: %w", verb, name, unix.EINVAL)
	}
	buf := make([]byte, headerSize+len(payload))
	h := (*unix.DmIoctl)(unsafe.Pointer(&buf[0]))
	h.Version = [3]uint32{unix.DM_VERSION_MAJOR, 0, 0}
	h.Data_size = uint32(len(buf))
	h.Data_start = uint32(headerSize)
	h.Target_count = targets
	h.Flags = flags
	copy(h.Name[:], name)
	copy(h.Uuid[:], uuid)
	copy(buf[headerSize:], payload)
	// Suspending waits for I/O and can be interrupted; then the kernel has put everything back and written nothing here.
	err := process.Uninterrupted(func() error {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, c.f.Fd(), uintptr(cmd), uintptr(unsafe.Pointer(&buf[0]))); errno != 0 {
			return errno
		}
		return nil
	})
	runtime.KeepAlive(buf)
	runtime.KeepAlive(c)
	if err != nil {
		return nil, fmt.Errorf("cannot %s device mapper device %s: %w", verb, name, err)
	}
	return buf, nil
}

func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}
