// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package dm_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/dmtable"
	"github.com/initddi/initddi/internal/linux/dm"
	"github.com/initddi/initddi/internal/linux/kerneltest"
	"github.com/initddi/initddi/internal/linux/loop"
	"github.com/initddi/initddi/internal/linux/memfile"
)

// disk is a loop device of n sectors, the i-th of which repeats the number i.
func disk(t *testing.T, n int) (*loop.Device, func(i int) []byte) {
	t.Helper()
	f, err := memfile.New("disk")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sector := func(i int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("%08d", i)), 64) }
	var b []byte
	for i := range n {
		b = append(b, sector(i)...)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	d, err := loop.Attach("/dev", f, loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, sector
}

func control(t *testing.T) *dm.Control {
	t.Helper()
	c, err := dm.Open("/dev/mapper/control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, i dm.Info) []byte {
	t.Helper()
	b, err := os.ReadFile("/dev/" + i.Node())
	must(t, err)
	return b
}

// wait waits for something that the kernel does in its own time.
func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 200 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("still not: %s", what)
}

func linear(minor, start, length, from int) dmtable.Target {
	return dmtable.Target{Start: uint64(start), Length: uint64(length), Type: "linear", Params: fmt.Sprintf("7:%d %d", minor, from)}
}

func TestVMLife(t *testing.T) {
	kerneltest.NeedMachine(t)
	d, sector := disk(t, 64)
	c := control(t)
	info, err := c.Create("life", "")
	must(t, err)
	if _, err := c.Create("life", ""); !errors.Is(err, unix.EBUSY) {
		t.Errorf("made twice: %v", err)
	}
	must(t, c.Load("life", true, []dmtable.Target{linear(d.Minor, 0, 2, 40), linear(d.Minor, 2, 1, 7), linear(d.Minor, 3, 5, 0), {Start: 8, Length: 8, Type: "error"}}))
	if b, err := os.ReadFile("/dev/" + info.Node()); err == nil && len(b) > 0 {
		t.Error("it has bytes before it is resumed")
	}
	must(t, c.Resume("life"))
	got, err := c.Stat("life")
	must(t, err)
	if got.Name != "life" || got.UUID != "" || !got.ReadOnly || got.Suspended || got.Major != info.Major || got.Minor != info.Minor || got.OpenCount != 0 {
		t.Errorf("%+v", got)
	}
	f, err := os.Open("/dev/" + info.Node())
	must(t, err)
	b := make([]byte, 512)
	// The page cache reads eight sectors at once: the error begins where a page does.
	for i, want := range []int{40, 41, 7, 0, 1, 2, 3, 4, -1} {
		_, err := f.ReadAt(b, int64(i)*512)
		if want < 0 {
			if !errors.Is(err, unix.EIO) {
				t.Errorf("sector %d: %v", i, err)
			}
		} else if err != nil || !bytes.Equal(b, sector(want)) {
			t.Errorf("sector %d has %.8s, %v, want %d", i, b, err, want)
		}
	}
	if end, err := f.Seek(0, io.SeekEnd); err != nil || end != 16*512 {
		t.Errorf("%d bytes, %v", end, err)
	}

	// The name and the UUID come late, the UUID once.
	must(t, c.Rename("life", "root"))
	must(t, c.SetUUID("root", "CRYPT-VERITY-x-root"))
	if err := c.SetUUID("root", "other"); err == nil {
		t.Error("the UUID was set twice")
	}
	if _, err := c.Stat("life"); !errors.Is(err, unix.ENXIO) {
		t.Errorf("the old name is still there: %v", err)
	}
	got, err = c.Stat("root")
	must(t, err)
	if got.UUID != "CRYPT-VERITY-x-root" || got.OpenCount != 1 || got.Minor != info.Minor {
		t.Errorf("%+v", got)
	}

	// Another table while it is in use.
	must(t, c.Load("root", true, []dmtable.Target{linear(d.Minor, 0, 16, 8)}))
	must(t, c.Resume("root"))
	// What was read before stays in the page cache; the sector with the error was not.
	if _, err := f.ReadAt(b, 8*512); err != nil || !bytes.Equal(b, sector(16)) {
		t.Errorf("with the new table: %.8s, %v", b, err)
	}

	if err := c.Remove("root", false); !errors.Is(err, unix.EBUSY) {
		t.Errorf("removed while in use: %v", err)
	}
	must(t, c.Remove("root", true))
	if _, err := c.Stat("root"); err != nil {
		t.Errorf("gone while in use: %v", err)
	}
	f.Close()
	wait(t, "gone after the last user", func() bool { _, err := c.Stat("root"); return errors.Is(err, unix.ENXIO) })
}

func TestVMManyTargets(t *testing.T) {
	kerneltest.NeedMachine(t)
	const n = 8192
	d, sector := disk(t, n)
	c := control(t)
	info, err := c.Create("many", "")
	must(t, err)
	defer c.Remove("many", true)
	// Backwards, so that the kernel can merge nothing.
	var targets []dmtable.Target
	for i := range n {
		targets = append(targets, linear(d.Minor, i, 1, n-1-i))
	}
	must(t, c.Load("many", true, targets))
	must(t, c.Resume("many"))
	b := read(t, info)
	if len(b) != n*512 {
		t.Fatalf("%d bytes", len(b))
	}
	for i := range n {
		if !bytes.Equal(b[i*512:][:512], sector(n-1-i)) {
			t.Fatalf("sector %d has %.8s", i, b[i*512:])
		}
	}
	status, err := c.Status("many")
	if err != nil || len(status) == 0 {
		t.Errorf("%d lines of status, %v", len(status), err)
	}
}

func TestVMErrors(t *testing.T) {
	kerneltest.NeedMachine(t)
	d, _ := disk(t, 64)
	c := control(t)
	for name, table := range map[string][]dmtable.Target{
		"overlap":          {linear(d.Minor, 0, 8, 0), linear(d.Minor, 4, 8, 0)},
		"gap":              {linear(d.Minor, 0, 8, 0), linear(d.Minor, 9, 8, 0)},
		"behind the end":   {linear(d.Minor, 0, 65, 0)},
		"no such device":   {{Length: 8, Type: "linear", Params: "259:1048575 0"}},
		"no such target":   {{Length: 8, Type: "nonsense", Params: "x"}},
		"bad parameters":   {{Length: 8, Type: "linear", Params: "x"}},
		"nothing":          nil,
		"verity, nonsense": {{Length: 8, Type: "verity", Params: "1 x"}},
	} {
		_, err := c.Create("bad", "")
		must(t, err)
		err = c.Load("bad", true, table)
		if err == nil {
			err = c.Resume("bad")
		}
		if err == nil || !strings.Contains(err.Error(), "bad") {
			t.Errorf("%s: %v", name, err)
		}
		must(t, c.Remove("bad", false))
	}
	if err := c.Remove("nothing", true); !errors.Is(err, unix.ENXIO) {
		t.Error(err)
	}
	if _, err := c.Status("nothing"); !errors.Is(err, unix.ENXIO) {
		t.Error(err)
	}
	_, err := c.Create("first", "same")
	must(t, err)
	if _, err := c.Create("second", "same"); !errors.Is(err, unix.EBUSY) {
		t.Errorf("two with one UUID: %v", err)
	}
	must(t, c.Remove("first", false))
	left, err := os.ReadDir("/dev/mapper")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if slices.ContainsFunc(left, func(e os.DirEntry) bool { return e.Name() != "control" }) {
		t.Errorf("left behind: %v", left)
	}
}
