// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package netblock makes block devices of exports of NBD servers: it connects, agrees on the export and leaves the connections to
// the kernel.
//
// Only the blocks that are read cross the network, and what they are worth is decided by dm-verity over the device. The process that
// made a device may end. Then nobody makes a connection anew that was lost: package linux/nbd says what the kernel does without.
package netblock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	kernel "github.com/initddi/initddi/internal/linux/nbd"
	"github.com/initddi/initddi/internal/nbd"
)

const (
	// answerTime is how long one server may take for the connection and the handshake.
	answerTime = 10 * time.Second
	// firstPause and lastPause are between the rounds in which all servers are asked; each is twice as long as the one before.
	firstPause = 250 * time.Millisecond
	lastPause  = 4 * time.Second
	// maxConnections bounds the connections of a device.
	maxConnections = 4
)

// ErrNoAnswer says that no server answered in time.
var ErrNoAnswer = errors.New("no server answered")

// Export is an export that a server offers.
type Export struct {
	URL nbd.URL
	nbd.Geometry
	Connections int // at most, by the server's word
}

// ask connects to a server and agrees on an export. It returns a connection in the transmission phase.
func ask(ctx context.Context, u nbd.URL, host string) (*net.TCPConn, Export, error) {
	e := Export{URL: u, Connections: 1}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	fail := func(err error) (*net.TCPConn, Export, error) {
		return nil, e, fmt.Errorf("cannot use %s: %w", u, err)
	}
	// Without keepalives an idle connection outlives a cable that is pulled out for an hour.
	dialer := net.Dialer{KeepAlive: -1}
	to := u
	if host != "" {
		to.Host = host
	}
	c, err := dialer.DialContext(ctx, "tcp", to.Address())
	if err != nil {
		return fail(err)
	}
	tcp := c.(*net.TCPConn)
	stop := context.AfterFunc(ctx, func() { tcp.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	offer, err := nbd.Handshake(tcp, u.Export)
	if err == nil {
		e.Geometry, err = offer.Geometry()
		if err != nil {
			tcp.Write(nbd.Goodbye())
		}
	}
	if err != nil {
		tcp.Close()
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return fail(err)
	}
	if offer.Flags&nbd.CanMultiConn != 0 {
		e.Connections = maxConnections
	}
	return tcp, e, nil
}

// Ask asks a server for an export, and leaves it alone again.
func Ask(ctx context.Context, u nbd.URL) (Export, error) {
	c, e, err := ask(ctx, u, "")
	if err != nil {
		return e, err
	}
	defer c.Close()
	_, err = c.Write(nbd.Goodbye())
	return e, err
}

// Final reports whether an error of [Ask] or [Connect] stays the same however often one asks: the server answered, and this was
// the answer.
func Final(err error) bool {
	for _, e := range []error{nbd.ErrNoExport, nbd.ErrTLS, nbd.ErrRefused, nbd.ErrProtocol, nbd.ErrUnusable} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// List asks all servers at the same time, those that do not answer again and again until one does or ctx ends, and returns what
// they offer in the order of the URLs. report is told once of every URL that came to nothing, when it is known, from one goroutine
// at a time. If nothing was found the error joins all; it wraps [ErrNoAnswer] if that is all that can be said of each.
func List(ctx context.Context, urls []nbd.URL, report func(nbd.URL, error)) ([]Export, error) {
	offers := make([]*Export, len(urls))
	errs := make([]error, len(urls))
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		var all sync.WaitGroup
		for i, u := range urls {
			if errs[i] != nil && Final(errs[i]) {
				continue
			}
			all.Go(func() {
				e, err := Ask(ctx, u)
				errs[i] = err
				if err == nil {
					offers[i] = &e
				}
			})
		}
		all.Wait()
		found, again := false, false
		for i := range urls {
			found = found || offers[i] != nil
			again = again || errs[i] != nil && !Final(errs[i])
		}
		if found || !again {
			break
		}
		select {
		case <-time.After(pause):
			continue
		case <-ctx.Done():
		}
		break
	}
	var out []Export
	for i, u := range urls {
		if errs[i] != nil {
			report(u, errs[i])
		} else if offers[i] != nil {
			out = append(out, *offers[i])
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	for _, err := range errs {
		if Final(err) {
			return nil, errors.Join(errs...)
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrNoAnswer, errors.Join(errs...))
}

// Device is a block device over an export.
type Device struct {
	Export
	Index int // N of nbdN
}

// Node is the device's name below /dev.
func (d Device) Node() string { return fmt.Sprintf("nbd%d", d.Index) }

// Options of a device.
type Options struct {
	// Connections is how many to have where the server lets a client have several; 0 is as many as there are processors, at least
	// two, so that one can be lost, and at most four. The kernel uses one for each processor.
	Connections int
	// Host, if not empty, is an address to use in the place of the URL's host.
	Host string
	kernel.Limits
}

func (o Options) connections() int {
	if o.Connections == 0 {
		return min(max(2, runtime.NumCPU()), maxConnections)
	}
	return o.Connections
}

// Connect makes a read-only device of an export.
func Connect(ctx context.Context, control *kernel.Control, u nbd.URL, o Options) (Device, error) {
	want := o.connections()
	var sockets []*os.File
	defer func() {
		// The kernel has its own hold on them, or they are not wanted.
		for _, s := range sockets {
			s.Close()
		}
	}()
	d := Device{Export: Export{URL: u}}
	for n := 1; n <= want; n++ {
		f, e, err := connection(ctx, u, o.Host)
		if err == nil && n > 1 && e != d.Export {
			err = fmt.Errorf("cannot use %s: it has %d bytes in blocks of %d, and on the next connection %d in blocks of %d: %w",
				u, d.Size, d.BlockSize, e.Size, e.BlockSize, nbd.ErrProtocol)
		}
		if err != nil {
			return Device{}, err
		}
		sockets = append(sockets, f)
		d.Export = e
		want = min(want, e.Connections)
	}
	d.Connections = len(sockets)
	var err error
	d.Index, err = control.Connect(kernel.Config{
		Sockets: sockets, Size: d.Size, BlockSize: d.BlockSize, Flags: uint64(nbd.KernelFlags(len(sockets))), Backend: u.String(), Limits: o.Limits,
	})
	if err != nil {
		for _, s := range sockets {
			s.Write(nbd.Goodbye())
		}
		return Device{}, fmt.Errorf("cannot use %s: %w", u, err)
	}
	return d, nil
}

// ErrChanged says that a server has something else now than what a device was made of.
var ErrChanged = errors.New("it has changed")

// Reconnect gives a device whose connections were lost new ones, to the export that it was made of. sys is /sys. The error wraps [ErrChanged] if
// that does not have the device's size any more; the same size with other data is for dm-verity to find.
func Reconnect(ctx context.Context, sys *os.Root, control *kernel.Control, index int, u nbd.URL, o Options) error {
	f, e, err := connection(ctx, u, o.Host)
	if err != nil {
		return err
	}
	sockets := []*os.File{f}
	defer func() {
		for _, s := range sockets {
			s.Close()
		}
	}()
	size, err := sys.ReadFile(fmt.Sprintf("class/block/nbd%d/size", index))
	if err != nil {
		return fmt.Errorf("cannot reconnect nbd%d: %w", index, err)
	}
	if sectors, err := strconv.ParseUint(strings.TrimSpace(string(size)), 10, 64); err != nil || sectors != e.Size/512 {
		return fmt.Errorf("cannot reconnect nbd%d: it has %s sectors, %s has %d: %w", index, strings.TrimSpace(string(size)), u, e.Size/512, ErrChanged)
	}
	for len(sockets) < min(o.connections(), e.Connections) {
		f, _, err := connection(ctx, u, o.Host)
		if err != nil {
			return err
		}
		sockets = append(sockets, f)
	}
	return control.Reconnect(index, u.String(), sockets, o.Limits)
}

// connection is a connection as the kernel wants it.
func connection(ctx context.Context, u nbd.URL, host string) (*os.File, Export, error) {
	c, e, err := ask(ctx, u, host)
	if err != nil {
		return nil, e, err
	}
	defer c.Close()
	c.SetDeadline(time.Time{})
	f, err := c.File()
	if err != nil {
		return nil, e, fmt.Errorf("cannot use %s: %w", u, err)
	}
	return f, e, nil
}
