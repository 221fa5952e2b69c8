// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package tpm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/tpm2"
)

// ErrUnready says that there is a TPM 2.0 that cannot be spoken to.
var ErrUnready = errors.New("the TPM 2.0 is not ready")

// class is where the kernel lists the TPMs that a driver took.
const class = "class/tpm"

// Chip is a TPM that a driver took.
type Chip struct {
	Index int  // of tpmN
	V2    bool // it is a TPM 2.0
}

// Chips returns the TPMs that sysfs lists, in the order of their numbers. What a TPM is, the kernel found out by asking it
// (drivers/char/tpm/tpm-sysfs.c, tpm_version_major). Before Linux 5.6 it does not say so, but makes tpmrmN for a TPM 2.0 alone.
func Chips(sys *os.Root) []Chip {
	dir, err := sys.Open(class)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var out []Chip
	for _, name := range names {
		n, err := strconv.ParseUint(strings.TrimPrefix(name, "tpm"), 10, 16)
		if err != nil || name != fmt.Sprintf("tpm%d", n) {
			continue
		}
		version, err := sys.ReadFile(class + "/" + name + "/tpm_version_major")
		if err != nil {
			_, err = sys.Stat(fmt.Sprintf("class/tpmrm/tpmrm%d", n))
			out = append(out, Chip{int(n), err == nil})
			continue
		}
		out = append(out, Chip{int(n), strings.TrimSpace(string(version)) == "2"})
	}
	slices.SortFunc(out, func(a, b Chip) int { return a.Index - b.Index })
	return out
}

// Open opens the first TPM 2.0 that sysfs lists, by its device tpmrmN below dev, normally /dev, which may be open several times. The error
// wraps [fs.ErrNotExist] where the machine has none, or none that a driver took, and [tpm2.ErrTPM12] where it has TPMs of version 1.2
// alone. One that has no such device yet, or is in the middle of an update of its firmware and does nothing else, is [ErrUnready].
func Open(sys *os.Root, dev string) (*Device, error) {
	chips := Chips(sys)
	i := slices.IndexFunc(chips, func(c Chip) bool { return c.V2 })
	switch {
	case i < 0 && len(chips) > 0:
		return nil, fmt.Errorf("cannot use tpm%d: %w", chips[0].Index, tpm2.ErrTPM12)
	case i < 0:
		return nil, fmt.Errorf("cannot open the TPM: there is none in /sys/%s: %w", class, fs.ErrNotExist)
	}
	path := fmt.Sprintf("%s/tpmrm%d", dev, chips[i].Index)
	// Not with os.OpenFile: it would make the descriptor non-blocking, in which case a read gets nothing and looks like an end.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		err = &os.PathError{Op: "open", Path: path, Err: err}
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: there is no %s", ErrUnready, path)
		}
		return nil, fmt.Errorf("cannot open the TPM: %w", err)
	}
	return &Device{path: path, timeout: Timeout, fd: fd}, nil
}
