// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netblock

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/dmtable"
	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/linux/dm"
	"github.com/initddi/initddi/internal/linux/kerneltest"
	kernel "github.com/initddi/initddi/internal/linux/nbd"
	"github.com/initddi/initddi/internal/nbd"
	"github.com/initddi/initddi/internal/nbd/nbdtest"
	"github.com/initddi/initddi/internal/resolve"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sample is the image that the machine comes with.
func sample(t *testing.T) ([]byte, *resolve.Authentic) {
	t.Helper()
	kerneltest.NeedMachine(t)
	kerneltest.Loopback(t)
	b, err := os.ReadFile("/tests/os.raw")
	must(t, err)
	table, err := gpt.Read(bytes.NewReader(b), int64(len(b)), 0)
	must(t, err)
	data, hash := table.Partitions[0], table.Partitions[1]
	region := func(p gpt.Partition) dmtable.Region {
		return dmtable.Region{Offset: p.Offset(table.SectorSize), Length: p.Size(table.SectorSize)}
	}
	return b, &resolve.Authentic{Designator: gpt.Root, Data: region(data), Hash: region(hash), RootHash: slices.Concat(data.UUID[:], hash.UUID[:])}
}

func control(t *testing.T) *kernel.Control {
	t.Helper()
	c, err := kernel.Open()
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// attach connects to a server and brings dm-verity up over its export.
func attach(t *testing.T, c *kernel.Control, u nbd.URL, a *resolve.Authentic, limits kernel.Limits) (Device, *apply.Image) {
	t.Helper()
	d, err := Connect(t.Context(), c, u, Options{Limits: limits})
	must(t, err)
	t.Cleanup(func() { c.Disconnect(d.Index) })
	m, err := dm.Open("/dev/mapper/control")
	must(t, err)
	t.Cleanup(func() { m.Close() })
	src := apply.Source{Device: "/dev/" + d.Node(), Extents: extent.List{{Offset: 0, Length: int64(d.Size)}}, BlockSize: int64(d.BlockSize)}
	img, err := apply.Attach("/dev", "test", m, src, a)
	must(t, err)
	t.Cleanup(func() { img.Discard() })
	return d, img
}

// readBlob reads the large file of the image.
func readBlob(t *testing.T, img *apply.Image) ([]byte, error) {
	t.Helper()
	m, err := img.Mount("erofs", "/dev/"+img.Device)
	must(t, err)
	defer m.Close()
	f, err := m.Open("/usr/lib/blob")
	must(t, err)
	defer f.Close()
	return io.ReadAll(f)
}

// TestVMVerity: what is read through dm-verity is what was built, and only what is read crosses the network.
func TestVMVerity(t *testing.T) {
	file, a := sample(t)
	s := &nbdtest.Server{Export: "os", Size: int64(len(file)), Read: nbdtest.Bytes(file), MultiConn: true}
	u := address(t, s.Start(t, "127.0.0.1:0"), "os")
	d, img := attach(t, control(t), u, a, kernel.Limits{})
	if d.Size != uint64(len(file)) || d.Connections < 2 || s.Connections.Load() != int64(d.Connections) {
		t.Errorf("%+v, %d connections were made", d, s.Connections.Load())
	}
	m, err := img.Mount("erofs", "/dev/"+img.Device)
	must(t, err)
	f, err := m.Open("/usr/lib/os-release")
	must(t, err)
	b, err := io.ReadAll(f)
	must(t, err)
	f.Close()
	m.Close()
	few := s.Sent.Load()
	if !strings.Contains(string(b), "ID=sample") || few > int64(len(file))/2 {
		t.Errorf("%d of %d bytes were sent for %q", few, len(file), b)
	}
	blob, err := readBlob(t, img)
	must(t, err)
	if sum := sha256.Sum256(blob); len(blob) != 2<<20 || img.Corrupt() {
		t.Errorf("%d bytes, %x", len(blob), sum)
	}
	t.Logf("%d of %d bytes were sent for os-release, %d for all", few, len(file), s.Sent.Load())
}

// TestVMFlipped: a server that alters a block is found out, and nothing of that block is read.
func TestVMFlipped(t *testing.T) {
	file, a := sample(t)
	at := a.Data.Offset + a.Data.Length/2
	var lie atomic.Bool
	read := nbdtest.Bytes(file)
	s := &nbdtest.Server{Export: "os", Size: int64(len(file)), MultiConn: true, Read: func(b []byte, offset int64) error {
		if err := read(b, offset); err != nil {
			return err
		}
		if lie.Load() && offset <= at && at < offset+int64(len(b)) {
			b[at-offset] ^= 1
		}
		return nil
	}}
	_, img := attach(t, control(t), address(t, s.Start(t, "127.0.0.1:0"), "os"), a, kernel.Limits{})
	lie.Store(true)
	blob, err := readBlob(t, img)
	if !errors.Is(err, unix.EIO) || !img.Corrupt() {
		t.Errorf("%d bytes were read: %v", len(blob), err)
	}
}

// TestVMServerReturns: who holds a file open waits while the server is away, and reads on when somebody has reconnected.
func TestVMServerReturns(t *testing.T) {
	file, a := sample(t)
	s := &nbdtest.Server{Export: "os", Size: int64(len(file)), Read: nbdtest.Bytes(file)}
	at := s.Start(t, "127.0.0.1:0")
	u, c := address(t, at, "os"), control(t)
	d, img := attach(t, c, u, a, kernel.Limits{Request: 2, Dead: 60})
	s.Stop()
	begin := time.Now()
	done := make(chan error, 1)
	go func() {
		blob, err := readBlob(t, img)
		if err == nil && len(blob) != 2<<20 {
			err = fmt.Errorf("%d bytes", len(blob))
		}
		done <- err
	}()
	time.Sleep(3 * time.Second)
	s.Start(t, at)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	sys, err := os.OpenRoot("/sys")
	must(t, err)
	defer sys.Close()
	must(t, Reconnect(ctx, sys, c, d.Index, u, Options{Connections: 1, Limits: kernel.Limits{Request: 2, Dead: 60}}))
	if err := <-done; err != nil {
		t.Error(err)
	}
	t.Logf("the reader waited %s", time.Since(begin).Round(100*time.Millisecond))
	// Another export in the same place is not taken.
	s.Stop()
	s.Size -= 4096
	s.Start(t, at)
	if err := Reconnect(ctx, sys, c, d.Index, u, Options{Connections: 1}); !errors.Is(err, ErrChanged) {
		t.Error(err)
	}
}

// TestVMWatch: with somebody who watches, a server that comes back is nothing that a reader notices.
func TestVMWatch(t *testing.T) {
	file, a := sample(t)
	s := &nbdtest.Server{Export: "os", Size: int64(len(file)), Read: nbdtest.Bytes(file), MultiConn: true}
	at := s.Start(t, "127.0.0.1:0")
	u, c := address(t, at, "os"), control(t)
	d, img := attach(t, c, u, a, kernel.Limits{Request: 2})
	sys, err := os.OpenRoot("/sys")
	must(t, err)
	defer sys.Close()
	if s, err := Find(sys, c, "/dev/"+d.Node()); err != nil || s.Backend != u.String() || s.Size != d.Size || s.BlockSize != 512 || !s.ReadOnly {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := Find(sys, c, u.String()); err != nil || s.Index != d.Index {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := Find(sys, c, "nbd99"); !errors.Is(err, ErrNoDevice) {
		t.Errorf("%+v, %v", s, err)
	}
	w, err := c.Watch()
	must(t, err)
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	watching := make(chan struct{}, 1)
	other, err := kernel.Open()
	must(t, err)
	defer other.Close()
	go func() {
		ended <- Watch(ctx, sys, other, w, d.Index, u, Options{Limits: kernel.Limits{Request: 2, Dead: 60}}, func(text string) {
			t.Log(text)
			if strings.HasPrefix(text, "watching") {
				watching <- struct{}{}
			}
		})
	}()
	<-watching
	for range 3 {
		s.Stop()
		must(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0))
		read := make(chan error, 1)
		go func() {
			_, err := readBlob(t, img)
			read <- err
		}()
		time.Sleep(time.Second)
		s.Start(t, at)
		if err := <-read; err != nil {
			t.Error(err)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestVMGoesWithTheImage: nothing is left of a device when the image over it is given up.
func TestVMGoesWithTheImage(t *testing.T) {
	file, a := sample(t)
	s := &nbdtest.Server{Export: "os", Size: int64(len(file)), Read: nbdtest.Bytes(file)}
	c := control(t)
	u := address(t, s.Start(t, "127.0.0.1:0"), "os")
	d, img := attach(t, c, u, a, kernel.Limits{})
	must(t, c.DisconnectOnClose(d.Index, u.String()))
	if _, err := readBlob(t, img); err != nil {
		t.Error(err)
	}
	if list, err := c.Connected(); err != nil || !slices.Contains(list, d.Index) {
		t.Errorf("%v, %v", list, err)
	}
	must(t, img.Discard())
	for range 100 {
		list, err := c.Connected()
		must(t, err)
		if !slices.Contains(list, d.Index) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("it is still connected")
}

// TestVMStrangers: a server that is none, or has another export on its second connection, makes no device.
func TestVMStrangers(t *testing.T) {
	file, _ := sample(t)
	c := control(t)
	s := &nbdtest.Server{Export: "os", Size: int64(len(file)), Read: nbdtest.Bytes(file)}
	at := s.Start(t, "127.0.0.1:0")
	if d, err := Connect(t.Context(), c, address(t, at, "other"), Options{}); !errors.Is(err, nbd.ErrNoExport) {
		t.Errorf("%+v, %v", d, err)
	}
	if list, err := c.Connected(); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}
