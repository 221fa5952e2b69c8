// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package tpm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/tpm2"
)

// machine makes a fake sysfs and /dev: of each TPM a directory in sysfs, with its version unless that is empty.
func machine(t *testing.T, versions map[string]string, nodes ...string) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("sys/x", "")
	write("dev/x", "")
	for name, version := range versions {
		write("sys/class/"+name+"/uevent", "")
		if version != "" {
			write("sys/class/"+name+"/tpm_version_major", version+"\n")
		}
	}
	for _, n := range nodes {
		write("dev/"+n, "")
	}
	sys, err := os.OpenRoot(filepath.Join(dir, "sys"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Close() })
	return sys, filepath.Join(dir, "dev")
}

func TestOpen(t *testing.T) {
	type versions = map[string]string
	for _, test := range []struct {
		name     string
		versions versions
		nodes    []string
		want     string // the device's name
		err      error
	}{
		{"none", nil, nil, "", fs.ErrNotExist},
		{"none that a driver took", versions{}, []string{"tpm0", "tpmrm0"}, "", fs.ErrNotExist},
		{"a TPM 2.0", versions{"tpm/tpm0": "2", "tpmrm/tpmrm0": ""}, []string{"tpm0", "tpmrm0"}, "tpmrm0", nil},
		{"a TPM 1.2", versions{"tpm/tpm0": "1"}, []string{"tpm0"}, "", tpm2.ErrTPM12},
		{"two of them", versions{"tpm/tpm0": "1", "tpm/tpm1": "1"}, []string{"tpm0", "tpm1"}, "", tpm2.ErrTPM12},
		{"a TPM 1.2 and a TPM 2.0", versions{"tpm/tpm0": "1", "tpm/tpm1": "2", "tpmrm/tpmrm1": ""}, []string{"tpm0", "tpm1", "tpmrm1"}, "tpmrm1", nil},
		{"a TPM 2.0 and a TPM 1.2", versions{"tpm/tpm0": "2", "tpm/tpm1": "1", "tpmrm/tpmrm0": ""}, []string{"tpm0", "tpm1", "tpmrm0"}, "tpmrm0", nil},
		{"two TPMs 2.0", versions{"tpm/tpm10": "2", "tpm/tpm9": "2"}, []string{"tpmrm9", "tpmrm10"}, "tpmrm9", nil},
		{"a TPM 2.0 of Linux 5.5", versions{"tpm/tpm0": "", "tpmrm/tpmrm0": ""}, []string{"tpm0", "tpmrm0"}, "tpmrm0", nil},
		{"a TPM 1.2 of Linux 5.5", versions{"tpm/tpm0": ""}, []string{"tpm0"}, "", tpm2.ErrTPM12},
		{"of Linux 5.5, both", versions{"tpm/tpm0": "", "tpm/tpm1": "", "tpmrm/tpmrm1": ""}, []string{"tpm0", "tpm1", "tpmrm1"}, "tpmrm1", nil},
		// The kernel makes tpm0 before tpmrm0.
		{"one that is being registered", versions{"tpm/tpm0": "2"}, []string{"tpm0"}, "", ErrUnready},
		{"what is no TPM", versions{"tpm/tpm": "2", "tpm/tpmx": "2", "tpm/tpm+0": "2", "tpm/tpm00": "2"}, []string{"tpmrm0"}, "", fs.ErrNotExist},
	} {
		sys, dev := machine(t, test.versions, test.nodes...)
		d, err := Open(sys, dev)
		if !errors.Is(err, test.err) || test.err == nil && err != nil || errors.Is(err, fs.ErrNotExist) != (test.err == fs.ErrNotExist) {
			t.Errorf("%s: %v, want %v", test.name, err, test.err)
		}
		if err != nil {
			continue
		}
		if d.Path() != dev+"/"+test.want {
			t.Errorf("%s: opened %s, want %s", test.name, d.Path(), test.want)
		}
		if flags, err := unix.FcntlInt(uintptr(d.fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("flags %#x, %v", flags, err)
		}
		d.Close()
	}
	// A TPM that is there and cannot be opened is no missing one, and another one is no way around.
	sys, dev := machine(t, versions{"tpm/tpm0": "2", "tpm/tpm1": "2"}, "tpmrm1")
	if err := os.Mkdir(filepath.Join(dev, "tpmrm0"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(sys, dev); !errors.Is(err, unix.EISDIR) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
