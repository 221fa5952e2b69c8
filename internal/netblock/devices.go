// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netblock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	kernel "github.com/initddi/initddi/internal/linux/nbd"
	"github.com/initddi/initddi/internal/nbd"
)

// ErrNoDevice says that there is no such device, or that it is not connected.
var ErrNoDevice = errors.New("there is no such network block device")

// Status is what can be seen of a device that was made by anybody.
type Status struct {
	Index     int
	Node      string // "nbd0"
	Backend   string // the URL, of a device that this package made; empty before Linux 5.14
	Size      uint64 // in bytes
	BlockSize uint32 // in bytes
	ReadOnly  bool
}

// Devices returns the devices that are connected, also those whose connections are lost. sys is /sys.
func Devices(sys *os.Root, control *kernel.Control) ([]Status, error) {
	list, err := control.Connected()
	if err != nil {
		return nil, err
	}
	slices.Sort(list)
	out := []Status{}
	for _, index := range list {
		s := Status{Index: index, Node: fmt.Sprintf("nbd%d", index)}
		read := func(name string) string {
			b, err := sys.ReadFile("class/block/" + s.Node + "/" + name)
			if err != nil {
				return ""
			}
			return strings.TrimSuffix(string(b), "\n")
		}
		sectors, err := strconv.ParseUint(read("size"), 10, 64)
		if err != nil || sectors == 0 {
			continue // somebody has it open, and that is all
		}
		block, _ := strconv.ParseUint(read("queue/logical_block_size"), 10, 32)
		s.Size, s.BlockSize, s.Backend, s.ReadOnly = sectors*512, uint32(block), read("backend"), read("ro") == "1"
		out = append(out, s)
	}
	return out, nil
}

// Find returns the device that a word means: nbd0, /dev/nbd0, or the URL that it was made of. The error wraps [ErrNoDevice].
func Find(sys *os.Root, control *kernel.Control, word string) (Status, error) {
	list, err := Devices(sys, control)
	if err != nil {
		return Status{}, err
	}
	if u, err := nbd.ParseURL(word); err == nil {
		word = u.String()
	} else {
		word = strings.TrimPrefix(path.Clean(word), "/dev/")
	}
	for _, s := range list {
		if word == s.Node || word == s.Backend {
			return s, nil
		}
	}
	return Status{}, fmt.Errorf("cannot find %s: %w", word, ErrNoDevice)
}

// Pauses between attempts to reconnect.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 8 * time.Second
)

// Watch gives a device new connections whenever it loses some, until ctx ends or the device is gone, which is an error that wraps
// [ErrNoDevice]. The server's addresses are found out at the beginning and not again. report is told what happens.
func Watch(ctx context.Context, sys *os.Root, control *kernel.Control, w *kernel.Watcher, index int, u nbd.URL, o Options, report func(string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, u.Host)
	if err != nil {
		return fmt.Errorf("cannot watch nbd%d: %w", index, err)
	}
	lost := make(chan int, 16)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, lost) }()
	// What was lost before anybody listened.
	if err := restore(ctx, sys, control, index, u, addresses, o, report); err != nil {
		return err
	}
	report("watching, with connections to " + u.String())
	for {
		select {
		case d := <-lost:
			if d != index && d >= 0 {
				continue
			}
			report("a connection to " + u.String() + " was lost")
			if err := restore(ctx, sys, control, index, u, addresses, o, report); err != nil {
				return err
			}
			report("reconnected to " + u.String())
		case err := <-ended:
			return err
		}
	}
}

// restore tries until the device has connections.
func restore(ctx context.Context, sys *os.Root, control *kernel.Control, index int, u nbd.URL, addresses []string, o Options, report func(string)) error {
	for n, pause := 0, firstRetry; ; n, pause = n+1, min(2*pause, lastRetry) {
		o.Host = addresses[n%len(addresses)]
		err := Reconnect(ctx, sys, control, index, u, o)
		if err == nil {
			return nil
		}
		if _, gone := sys.Stat(fmt.Sprintf("class/block/nbd%d/pid", index)); errors.Is(gone, fs.ErrNotExist) {
			return fmt.Errorf("cannot watch nbd%d any more: %w", index, ErrNoDevice)
		}
		report(err.Error())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
