// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ddi_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/ddi/dditest"
	"github.com/initddi/initddi/internal/plan"
)

// TestMount mounts and unmounts for real. It needs root and the device mapper; inside a virtual machine without the tools that
// make images, INITDDI_TEST_IMAGES names a directory that has them.
func TestMount(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	drivers, err := ddi.StageDrivers()
	if err != nil {
		t.Fatal(err)
	}
	if err := drivers.Need("loop", "dm", "verity", "erofs"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/dev/mapper/control"); err != nil {
		t.Skip("needs a kernel with the device mapper (module dm_verity): ", err)
	}
	dir := os.Getenv("INITDDI_TEST_IMAGES")
	if dir == "" {
		dir = dditest.Make(t).Dir
	}
	p, err := ddi.ReadTrust([]string{filepath.Join(dir, dditest.Cert)}, false)
	if err != nil {
		t.Fatal(err)
	}
	m := &mounter{t: t, dir: dir, plan: p, drivers: drivers, at: t.TempDir()}
	before := devices(t)
	m.good()
	m.kinds()
	m.damaged()
	m.refused()
	for end := time.Now().Add(5 * time.Second); devices(t) != before; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("devices are left: %s, before %s", devices(t), before)
		}
	}
}

// mounter mounts images of a directory at one place.
type mounter struct {
	t       *testing.T
	dir, at string
	plan    *plan.Plan
	drivers *ddi.Drivers
}

func (m *mounter) mount(name, at string) (*ddi.Mounted, error) {
	m.t.Helper()
	img, err := ddi.Open(filepath.Join(m.dir, name), ddi.Options{Plan: m.plan})
	if err != nil {
		m.t.Fatal(err)
	}
	defer img.Close()
	return img.Mount(at, m.drivers)
}

func (m *mounter) unmount() {
	m.t.Helper()
	if err := ddi.Unmount(m.at); err != nil {
		m.t.Error(err)
	}
}

func (m *mounter) good() {
	t := m.t
	got, err := m.mount(dditest.Good, m.at)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != "example" || got.ImageID != "tiny" || got.ImageVersion != "7.1" || got.Kind != "os" || got.FileSystem != "erofs" {
		t.Errorf("%+v", got)
	}
	if b, err := os.ReadFile(filepath.Join(m.at, "usr/lib/os-release")); err != nil || string(b) != dditest.OSRelease {
		t.Errorf("os-release: %q, %v", b, err)
	}
	if err := os.WriteFile(filepath.Join(m.at, "x"), nil, 0o644); !errors.Is(err, syscall.EROFS) {
		t.Errorf("writing: %v, want EROFS", err)
	}
	busy, err := os.Open(filepath.Join(m.at, "usr/lib/blob"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ddi.Unmount(m.at); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("unmounting while a file is open: %v, want EBUSY", err)
	}
	busy.Close()
	m.unmount()
	for _, not := range []string{m.at, "/proc"} {
		if err := ddi.Unmount(not); !errors.Is(err, ddi.ErrNotOurs) {
			t.Errorf("unmounting %s: %v, want ErrNotOurs", not, err)
		}
	}
}

// kinds: images of other forms, whose tree is the same.
func (m *mounter) kinds() {
	for name, file := range map[string]string{
		dditest.Usr: "lib/os-release", dditest.Both: "usr/lib/os-release", dditest.Beside: "usr/lib/os-release",
		dditest.Bare: "usr/lib/os-release", dditest.BareUsr: "lib/os-release",
	} {
		got, err := m.mount(name, m.at)
		if err != nil {
			m.t.Errorf("%s: %v", name, err)
			continue
		}
		if b, err := os.ReadFile(filepath.Join(m.at, file)); err != nil || string(b) != dditest.OSRelease || got.ID != "example" {
			m.t.Errorf("%s: %+v, os-release %q, %v", name, got, b, err)
		}
		m.unmount()
	}
}

// damaged: a block that is not what was signed is an error for its reader, and for nobody else.
func (m *mounter) damaged() {
	if _, err := m.mount(dditest.Flipped, m.at); err != nil {
		m.t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(m.at, "usr/lib/blob"))
	if err == nil {
		_, err = io.Copy(io.Discard, f)
		f.Close()
	}
	if !errors.Is(err, syscall.EIO) {
		m.t.Errorf("reading a damaged image: %v, want EIO", err)
	}
	m.unmount()
}

func (m *mounter) refused() {
	for _, name := range []string{dditest.Stranger, dditest.Tree, dditest.FirstData, dditest.Unsigned} {
		if _, err := m.mount(name, m.at); err == nil || !strings.Contains(err.Error(), "refused") {
			m.t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	if _, err := m.mount(dditest.Good, filepath.Join(m.at, "absent")); !errors.Is(err, os.ErrNotExist) {
		m.t.Errorf("a mount point that is not there: %v", err)
	}
}

// devices lists the device mapper's devices and the loop devices in use.
func devices(t *testing.T) string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"/sys/block/dm-*", "/sys/block/loop*/loop/backing_file"} {
		list, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, list...)
	}
	return strings.Join(out, " ")
}
