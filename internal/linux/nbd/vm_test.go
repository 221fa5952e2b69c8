// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package nbd_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	kernel "github.com/initddi/initddi/internal/linux/nbd"

	"github.com/initddi/initddi/internal/linux/kerneltest"
	"github.com/initddi/initddi/internal/nbd"
	"github.com/initddi/initddi/internal/nbd/nbdtest"
)

const sectors = 8192

// content is an export with recognisable sectors.
func content() []byte {
	var b []byte
	for i := range sectors {
		b = append(b, bytes.Repeat(fmt.Appendf(nil, "%08d", i), 64)...)
	}
	return b
}

func start(t *testing.T) (*nbdtest.Server, string) {
	t.Helper()
	kerneltest.NeedMachine(t)
	kerneltest.Loopback(t)
	s := &nbdtest.Server{Export: "disk", Size: sectors * 512, Read: nbdtest.Bytes(content()), MultiConn: true}
	return s, s.Start(t, "127.0.0.1:0")
}

func open(t *testing.T) *kernel.Control {
	t.Helper()
	c, err := kernel.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// socket is a connection in the transmission phase.
func socket(t *testing.T, address string) *os.File {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := nbd.Handshake(c, "disk"); err != nil {
		t.Fatal(err)
	}
	f, err := c.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const backend = "nbd://server/disk"

// connect makes a device over some connections, and forgets these.
func connect(t *testing.T, c *kernel.Control, address string, connections int, limits kernel.Limits) int {
	t.Helper()
	config := kernel.Config{Size: sectors * 512, BlockSize: 512, Flags: uint64(nbd.KernelFlags(connections)), Backend: backend, Limits: limits}
	for range connections {
		f := socket(t, address)
		defer f.Close()
		config.Sockets = append(config.Sockets, f)
	}
	index, err := c.Connect(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Disconnect(index) })
	return index
}

func attribute(index int, name string) string {
	b, err := os.ReadFile(fmt.Sprintf("/sys/block/nbd%d/%s", index, name))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}

// sector reads one sector past the page cache.
func sector(index, n int) error {
	f, err := os.OpenFile(fmt.Sprintf("/dev/nbd%d", index), os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	defer unix.Munmap(page)
	if _, err := f.ReadAt(page[:512], int64(n)*512); err != nil {
		return err
	}
	if want := fmt.Sprintf("%08d", n); string(page[:8]) != want {
		return fmt.Errorf("sector %d begins with %q", n, page[:8])
	}
	return nil
}

// TestVMLife: a device is what it was said to be, read-only, and goes when it is told to.
func TestVMLife(t *testing.T) {
	s, address := start(t)
	c := open(t)
	index := connect(t, c, address, 1, kernel.Limits{})
	for name, want := range map[string]string{"size": fmt.Sprint(sectors), "ro": "1", "queue/logical_block_size": "512", "backend": backend} {
		if got := attribute(index, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	b, err := os.ReadFile(fmt.Sprintf("/dev/nbd%d", index))
	if err != nil || !bytes.Equal(b, content()) {
		t.Errorf("%d bytes were read, not what was written: %v", len(b), err)
	}
	if f, err := os.OpenFile(fmt.Sprintf("/dev/nbd%d", index), os.O_WRONLY, 0); err == nil {
		if _, err := f.Write(make([]byte, 512)); err == nil {
			t.Error("it can be written to")
		}
		f.Close()
	}
	if list, err := c.Connected(); err != nil || !slices.Contains(list, index) {
		t.Errorf("%d is not among %v: %v", index, list, err)
	}
	t.Logf("%d bytes in %d requests over %d connections", s.Sent.Load(), s.Requests.Load(), s.Connections.Load())
	if err := c.Disconnect(index); err != nil {
		t.Error(err)
	}
	if got := attribute(index, "size"); got != "0" {
		t.Errorf("size is %s after the end", got)
	}
	if list, err := c.Connected(); err != nil || slices.Contains(list, index) {
		t.Errorf("%d is among %v: %v", index, list, err)
	}
	if err := c.Disconnect(index); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// TestVMOutlivesItsMaker: what makes the device ends, and the device is read.
func TestVMOutlivesItsMaker(t *testing.T) {
	if address := kerneltest.ChildMode(); address != "" {
		connected := kernel.Config{Sockets: []*os.File{socket(t, address)}, Size: sectors * 512, BlockSize: 4096, Flags: uint64(nbd.KernelFlags(1))}
		index, err := open(t).Connect(connected)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("index=%d;", index)
		return
	}
	_, address := start(t)
	said := kerneltest.Child(t, address)
	var index int
	if _, err := fmt.Sscanf(said[strings.Index(said, "index="):], "index=%d;", &index); err != nil {
		t.Fatalf("%v: %q", err, said)
	}
	defer open(t).Disconnect(index)
	b, err := os.ReadFile(fmt.Sprintf("/dev/nbd%d", index))
	if err != nil || !bytes.Equal(b, content()) {
		t.Errorf("%d bytes were read, not what was written: %v", len(b), err)
	}
}

// TestVMGoesWithItsUser: nobody has to disconnect a device that was arranged to go.
func TestVMGoesWithItsUser(t *testing.T) {
	_, address := start(t)
	c := open(t)
	index := connect(t, c, address, 1, kernel.Limits{})
	f, err := os.Open(fmt.Sprintf("/dev/nbd%d", index))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DisconnectOnClose(index, backend); err != nil {
		t.Error(err)
	}
	// Another user in between ends nothing.
	if err := sector(index, 1); err != nil {
		t.Error(err)
	}
	if err := sector(index, 2); err != nil {
		t.Error(err)
	}
	f.Close()
	for range 100 {
		if attribute(index, "size") == "0" {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("it is still there")
}

// TestVMConnections: of two connections one may be lost.
func TestVMConnections(t *testing.T) {
	s, address := start(t)
	var hung, queries atomic.Int64
	release := make(chan struct{})
	read := nbdtest.Bytes(content())
	s.Read = func(b []byte, offset int64) error {
		queries.Add(1)
		if hung.CompareAndSwap(1, 2) {
			<-release
		}
		return read(b, offset)
	}
	defer close(release)
	c := open(t)
	index := connect(t, c, address, 2, kernel.Limits{Request: 2})
	if err := sector(index, 0); err != nil {
		t.Fatal(err)
	}
	// One connection never answers again: the request goes over the other.
	hung.Store(1)
	begin := time.Now()
	if err := sector(index, 7); err != nil {
		t.Error(err)
	}
	t.Logf("a request that was not answered within 2 s was, over the other connection, after %s", time.Since(begin).Round(100*time.Millisecond))
	for n := range 20 {
		if err := sector(index, n); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVMServerGoes: reading from a server that is gone fails at once, or waits for a new connection as long as it was told to.
func TestVMServerGoes(t *testing.T) {
	s, address := start(t)
	c := open(t)
	index := connect(t, c, address, 1, kernel.Limits{Request: 2})
	s.Stop()
	begin := time.Now()
	if err := sector(index, 1); !errors.Is(err, unix.EIO) {
		t.Errorf("without a server: %v", err)
	}
	// At once, or if the request was under way already, when its time is up.
	took := time.Since(begin)
	t.Logf("it failed after %s", took.Round(100*time.Millisecond))
	if took > 8*time.Second {
		t.Errorf("it took %s", took)
	}
	// What failed is not lost: the server comes back, and the device has its data again.
	s.Start(t, address)
	again := socket(t, address)
	defer again.Close()
	if err := c.Reconnect(index, backend, []*os.File{again}, kernel.Limits{Request: 2, Dead: 20}); err != nil {
		t.Fatal(err)
	}
	if err := sector(index, 1); err != nil {
		t.Error(err)
	}
	// Now reads wait.
	s.Stop()
	begin = time.Now()
	done := make(chan error, 1)
	go func() { done <- sector(index, 3) }()
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(2 * time.Second):
	}
	s.Start(t, address)
	third := socket(t, address)
	defer third.Close()
	if err := c.Reconnect(index, backend, []*os.File{third}, kernel.Limits{Request: 2, Dead: 2}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	t.Logf("the reader waited %s for a new connection, and saw nothing of it", time.Since(begin).Round(100*time.Millisecond))
	// And nobody reconnects.
	s.Stop()
	begin = time.Now()
	if err := sector(index, 4); !errors.Is(err, unix.EIO) {
		t.Errorf("nobody reconnected: %v", err)
	}
	took = time.Since(begin)
	t.Logf("nobody reconnected within 2 s: it failed after %s", took.Round(100*time.Millisecond))
	if took < time.Second || took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestVMServerHangs: a server that does not answer is given up.
func TestVMServerHangs(t *testing.T) {
	s, address := start(t)
	var hang atomic.Bool
	release := make(chan struct{})
	defer close(release)
	read := nbdtest.Bytes(content())
	s.Read = func(b []byte, offset int64) error {
		if hang.Load() {
			<-release
		}
		return read(b, offset)
	}
	index := connect(t, open(t), address, 1, kernel.Limits{Request: 2})
	if err := sector(index, 1); err != nil {
		t.Fatal(err)
	}
	hang.Store(true)
	begin := time.Now()
	err := sector(index, 2)
	took := time.Since(begin)
	t.Logf("with a limit of 2 s it failed after %s: %v", took.Round(100*time.Millisecond), err)
	if err == nil || took < time.Second || took > 20*time.Second {
		t.Errorf("%v after %s", err, took)
	}
}

// TestVMServerFails: what a server cannot read is an error, and everything else is read.
func TestVMServerFails(t *testing.T) {
	s, address := start(t)
	read := nbdtest.Bytes(content())
	s.Read = func(b []byte, offset int64) error {
		if offset <= 5*512 && 5*512 < offset+int64(len(b)) {
			return unix.EIO
		}
		return read(b, offset)
	}
	index := connect(t, open(t), address, 1, kernel.Limits{})
	if err := sector(index, 5); !errors.Is(err, unix.EIO) {
		t.Errorf("sector 5: %v", err)
	}
	if err := sector(index, 6); err != nil {
		t.Error(err)
	}
}

func TestVMErrors(t *testing.T) {
	_, address := start(t)
	c := open(t)
	f := socket(t, address)
	defer f.Close()
	good := kernel.Config{Sockets: []*os.File{f}, Size: 1 << 20, BlockSize: 512, Flags: 3}
	for name, spoil := range map[string]func(*kernel.Config){
		"no socket":            func(c *kernel.Config) { c.Sockets = nil },
		"a block of 8 KiB":     func(c *kernel.Config) { c.BlockSize = 8192 },
		"a block of 1000":      func(c *kernel.Config) { c.BlockSize = 1000 },
		"not a socket":         func(c *kernel.Config) { c.Sockets = []*os.File{os.Stderr} },
		"two, but not said so": func(c *kernel.Config) { c.Sockets = []*os.File{f, f} },
	} {
		config := good
		spoil(&config)
		if index, err := c.Connect(config); err == nil {
			t.Errorf("%s: nbd%d", name, index)
			c.Disconnect(index)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
	if err := c.Disconnect(4000); err == nil || !strings.Contains(err.Error(), "nbd4000") {
		t.Error(err)
	}
	if err := c.Reconnect(4000, "", nil, kernel.Limits{}); err == nil {
		t.Error("nbd4000 was reconnected")
	}
	if err := c.DisconnectOnClose(4000, ""); err == nil {
		t.Error("nbd4000 goes with its user")
	}
	if list, err := c.Connected(); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}
