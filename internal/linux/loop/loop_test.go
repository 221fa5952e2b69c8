// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package loop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/kerneltest"
	"github.com/initddi/initddi/internal/linux/memfile"
)

func TestAttachNeedsTheDriver(t *testing.T) {
	f, err := memfile.New("x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Attach(t.TempDir(), f, Options{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "loop-control") {
		t.Error(err)
	}
}

// backing is a file in memory with recognisable sectors.
func backing(t *testing.T, sectors int) (*os.File, []byte) {
	t.Helper()
	f, err := memfile.New("backing")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	var b []byte
	for i := range sectors {
		b = append(b, bytes.Repeat([]byte(fmt.Sprintf("%08d", i)), 64)...)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return f, b
}

func attribute(t *testing.T, minor int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/sys/block/loop%d/%s", minor, name))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}

func TestVMAttach(t *testing.T) {
	kerneltest.NeedMachine(t)
	f, want := backing(t, 64)
	for _, o := range []Options{{}, {Offset: 4096}, {BlockSize: 4096}, {BlockSize: 4096, Offset: 8192}} {
		d, err := Attach("/dev", f, o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(d)
		if err != nil || !bytes.Equal(got, want[o.Offset:]) {
			t.Errorf("%+v: %d bytes, %v", o, len(got), err)
		}
		for name, value := range map[string]string{
			"ro": "1", "loop/autoclear": "1", "loop/offset": fmt.Sprint(o.Offset), "queue/logical_block_size": fmt.Sprint(max(o.BlockSize, 512)),
		} {
			if got := attribute(t, d.Minor, name); got != value {
				t.Errorf("%+v: %s is %s, want %s", o, name, got, value)
			}
		}
		if w, err := os.OpenFile(d.Name(), os.O_WRONLY, 0); err == nil {
			if _, err := w.Write(make([]byte, 4096)); err == nil && unix.Fsync(int(w.Fd())) == nil {
				t.Errorf("%+v: it can be written to", o)
			}
			w.Close()
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		gone(t, d.Minor)
	}
}

// gone waits until the kernel has cleared a loop device.
func gone(t *testing.T, minor int) {
	t.Helper()
	for range 100 {
		if _, err := os.Stat(fmt.Sprintf("/sys/block/loop%d/loop", minor)); errors.Is(err, fs.ErrNotExist) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("loop%d is still there", minor)
}

// TestVMAttachTogether: who asks for a free device at the same time as others gets another one.
func TestVMAttachTogether(t *testing.T) {
	kerneltest.NeedMachine(t)
	f, _ := backing(t, 8)
	var all sync.WaitGroup
	var mu sync.Mutex
	seen := map[int]bool{}
	for range 16 {
		all.Go(func() {
			d, err := Attach("/dev", f, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if seen[d.Minor] {
				t.Errorf("loop%d was given out twice", d.Minor)
			}
			seen[d.Minor] = true
			t.Cleanup(func() { d.Close() })
		})
	}
	all.Wait()
}

func TestVMAttachErrors(t *testing.T) {
	kerneltest.NeedMachine(t)
	f, _ := backing(t, 8)
	if _, err := Attach("/dev", f, Options{BlockSize: 777}); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
	dir, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err := Attach("/dev", dir, Options{}); err == nil {
		t.Error("a directory is behind a loop device")
	}
}
