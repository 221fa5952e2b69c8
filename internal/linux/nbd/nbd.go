// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package nbd gives connections to NBD servers to the kernel, which makes block devices of them and keeps them when the process
// that made them ends.
//
// It speaks generic netlink (include/uapi/linux/nbd-netlink.h, Linux 4.12) and not the older ioctls of the device, of which one
// does not return for as long as the device is used. The handshake is package internal/nbd's; a connection comes here when it is
// in the transmission phase.
package nbd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	familyName = "nbd"
	groupName  = "nbd_mc_group"
	version    = 1
)

// Commands, and the attributes that are used (include/uapi/linux/nbd-netlink.h).
const (
	cmdConnect     = 1
	cmdDisconnect  = 2
	cmdReconfigure = 3
	cmdLinkDead    = 4
	cmdStatus      = 5

	attrIndex       = 1
	attrSize        = 2
	attrBlockSize   = 3
	attrTimeout     = 4
	attrServerFlags = 5
	attrClientFlags = 6
	attrSockets     = 7
	attrDeadTimeout = 8
	attrDeviceList  = 9
	attrBackend     = 10

	sockItem = 1
	sockFD   = 1

	deviceItem      = 1
	deviceIndex     = 1
	deviceConnected = 2

	// clientDisconnectOnClose is NBD_CFLAG_DISCONNECT_ON_CLOSE.
	clientDisconnectOnClose = 1 << 1
)

// ErrNoDriver says that the kernel's driver for network block devices is not there.
var ErrNoDriver = errors.New("the kernel's driver nbd is not there: load the module nbd")

// Config describes a device.
type Config struct {
	// Sockets are connections in the transmission phase of one export, one or more. They may be closed afterwards.
	Sockets   []*os.File
	Size      uint64 // in bytes, a multiple of BlockSize
	BlockSize uint32 // in bytes, 512 to 4,096, a power of two
	Flags     uint64 // NBD_FLAG_*
	// Backend names the other end for whoever looks at the device later: it stands in /sys/block/nbdN/backend (Linux 5.14).
	Backend string
	Limits
}

// Limits say when the kernel gives up.
type Limits struct {
	// Request is after how many seconds without an answer to a request its connection counts as lost; 0 is [DefaultRequest]. A
	// request that was under way when its connection was lost waits that long, too, before it is sent over another one or fails.
	Request uint64
	// Dead is for how many seconds requests wait for [Control.Reconnect] when the last connection is lost; then they fail. 0 is
	// not at all.
	Dead uint64
}

// DefaultRequest is 30 seconds. There is no way to say never: the kernel would leave a request that was under way when its only
// connection was lost waiting for ever.
const DefaultRequest = 30

// Control is a way to the driver. It is for one goroutine at a time.
type Control struct {
	f        *os.File
	family   uint16
	group    uint32 // who listens to it is told of lost connections; 0 is none
	sequence uint32
}

// Open finds the driver. The error wraps [ErrNoDriver] if it is not there.
func Open() (*Control, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, fmt.Errorf("cannot open generic netlink: %w", err)
	}
	c := &Control{f: os.NewFile(uintptr(fd), "netlink")}
	answer, err := c.ask(unix.GENL_ID_CTRL, unix.CTRL_CMD_GETFAMILY, 1, appendString(nil, unix.CTRL_ATTR_FAMILY_NAME, familyName))
	if err != nil {
		c.Close()
		if errors.Is(err, unix.ENOENT) {
			return nil, fmt.Errorf("cannot use network block devices: %w", ErrNoDriver)
		}
		return nil, fmt.Errorf("cannot find the driver of network block devices: %w", err)
	}
	id, ok := find(answer, unix.CTRL_ATTR_FAMILY_ID, 2)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("cannot find the driver of network block devices: %w", errMessage)
	}
	c.family = binary.NativeEndian.Uint16(id)
	c.group = findGroup(answer)
	return c, nil
}

// findGroup returns the number of the driver's multicast group.
func findGroup(answer []attr) uint32 {
	list, _ := find(answer, unix.CTRL_ATTR_MCAST_GROUPS, 0)
	groups, err := parseAttrs(list)
	if err != nil {
		return 0
	}
	for _, g := range groups {
		fields, err := parseAttrs(g.value)
		if err != nil {
			return 0
		}
		name, _ := find(fields, unix.CTRL_ATTR_MCAST_GRP_NAME, 1)
		if id, ok := find(fields, unix.CTRL_ATTR_MCAST_GRP_ID, 4); ok && string(name) == groupName+"\x00" {
			return binary.NativeEndian.Uint32(id)
		}
	}
	return 0
}

// Close closes the way to the driver; devices stay.
func (c *Control) Close() error { return c.f.Close() }

// Connect makes a device and returns N of its name nbdN: a free one, or one more. It is there when Connect returns, and the kernel
// has its own hold on the sockets.
func (c *Control) Connect(config Config) (int, error) {
	attrs := appendUint64(nil, attrSize, config.Size)
	attrs = appendUint64(attrs, attrBlockSize, uint64(config.BlockSize))
	attrs = appendUint64(attrs, attrServerFlags, config.Flags)
	attrs = config.Limits.append(attrs)
	if config.Backend != "" {
		attrs = appendString(attrs, attrBackend, config.Backend)
	}
	attrs = appendSockets(attrs, config.Sockets)
	answer, err := c.ask(c.family, cmdConnect, version, attrs)
	if err != nil {
		return 0, fmt.Errorf("cannot make a network block device of %d bytes in blocks of %d over %d connections: %w", config.Size, config.BlockSize, len(config.Sockets), err)
	}
	index, ok := find(answer, attrIndex, 4)
	if !ok {
		return 0, fmt.Errorf("cannot tell which network block device was made: %w", errMessage)
	}
	return int(binary.NativeEndian.Uint32(index)), nil
}

func (l Limits) append(attrs []byte) []byte {
	if l.Request == 0 {
		l.Request = DefaultRequest
	}
	attrs = appendUint64(attrs, attrTimeout, l.Request)
	return appendUint64(attrs, attrDeadTimeout, l.Dead)
}

func appendSockets(attrs []byte, sockets []*os.File) []byte {
	var list []byte
	for _, s := range sockets {
		list = appendAttr(list, sockItem|nestedBit, appendUint32(nil, sockFD, uint32(s.Fd())))
	}
	return appendAttr(attrs, attrSockets|nestedBit, list)
}

// Disconnect ends a device's connections; whoever still uses it gets errors. A device that is not connected is none.
func (c *Control) Disconnect(index int) error {
	if _, err := c.ask(c.family, cmdDisconnect, version, appendUint32(nil, attrIndex, uint32(index))); err != nil {
		return fmt.Errorf("cannot disconnect nbd%d: %w", index, err)
	}
	return nil
}

// Reconnect puts sockets in the place of connections that were lost, as far as there are such, and sets the limits anew. backend is what [Config] had.
func (c *Control) Reconnect(index int, backend string, sockets []*os.File, limits Limits) error {
	attrs := limits.append(c.device(index, backend))
	if len(sockets) > 0 {
		attrs = appendSockets(attrs, sockets)
	}
	if _, err := c.ask(c.family, cmdReconfigure, version, attrs); err != nil {
		return fmt.Errorf("cannot reconnect nbd%d: %w", index, err)
	}
	return nil
}

// DisconnectOnClose arranges for a device that is in use that it is disconnected when its last user closes it.
func (c *Control) DisconnectOnClose(index int, backend string) error {
	attrs := appendUint64(c.device(index, backend), attrClientFlags, clientDisconnectOnClose)
	if _, err := c.ask(c.family, cmdReconfigure, version, attrs); err != nil {
		return fmt.Errorf("cannot arrange that nbd%d goes with its last user: %w", index, err)
	}
	return nil
}

// device names a device to the command that changes it: a kernel that knows backends wants the one it was made with.
func (c *Control) device(index int, backend string) []byte {
	attrs := appendUint32(nil, attrIndex, uint32(index))
	if backend != "" {
		attrs = appendString(attrs, attrBackend, backend)
	}
	return attrs
}

// Connected returns which devices have a connection, or had one that was lost.
func (c *Control) Connected() ([]int, error) {
	answer, err := c.ask(c.family, cmdStatus, version, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot list network block devices: %w", err)
	}
	list, ok := find(answer, attrDeviceList, 0)
	if !ok {
		return nil, nil
	}
	items, err := parseAttrs(list)
	if err != nil {
		return nil, fmt.Errorf("cannot list network block devices: %w", err)
	}
	var out []int
	for _, item := range items {
		if item.kind != deviceItem {
			continue
		}
		fields, err := parseAttrs(item.value)
		if err != nil {
			return nil, fmt.Errorf("cannot list network block devices: %w", err)
		}
		index, ok := find(fields, deviceIndex, 4)
		connected, has := find(fields, deviceConnected, 1)
		if ok && has && connected[0] != 0 {
			out = append(out, int(binary.NativeEndian.Uint32(index)))
		}
	}
	return out, nil
}
