// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package dm

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/dmtable"
)

func TestEncodeTargets(t *testing.T) {
	b, err := encodeTargets([]dmtable.Target{{Start: 0, Length: 8, Type: "linear", Params: "7:0 16"}, {Start: 8, Length: 1, Type: "error"}})
	if err != nil {
		t.Fatal(err)
	}
	// struct dm_target_spec: u64 sector_start, u64 length, s32 status, u32 next, char target_type[16]; then the parameters.
	want := "0000000000000000" + "0800000000000000" + "00000000" + "30000000" + "6c696e65617200000000000000000000" + "373a302031360000" +
		"0800000000000000" + "0100000000000000" + "00000000" + "30000000" + "6572726f720000000000000000000000" + "0000000000000000"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, bad := range []dmtable.Target{{Type: ""}, {Type: "sixteen-letters-"}, {Type: "lin\x00ear"}, {Type: "linear", Params: "7:0\x00 16"}} {
		if _, err := encodeTargets([]dmtable.Target{bad}); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := encodeTargets([]dmtable.Target{{Type: "linear", Params: strings.Repeat("x", MaxTableBytes)}}); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	largest := make([]dmtable.Target, dmtable.MaxTargets)
	for i := range largest {
		largest[i] = dmtable.Target{Start: uint64(i), Length: 1, Type: "linear", Params: "7:1048575 36028797018963967"}
	}
	if _, err := encodeTargets(largest); err != nil {
		t.Errorf("the largest table that dmtable makes: %v", err)
	}
}

// TestNames: a name goes into a field of fixed size, and must not be cut there.
func TestNames(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "control")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	name := filepath.Join(t.TempDir(), "control")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	long := strings.Repeat("x", 128)
	for _, n := range []string{"", long, "a\x00b"} {
		if _, err := c.Stat(n); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%q: %v", n, err)
		}
		if err := c.Rename("a", n); !errors.Is(err, unix.EINVAL) {
			t.Errorf("rename to %q: %v", n, err)
		}
	}
	if err := c.SetUUID("a", long+"x"); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
	if _, err := c.Create("a", long+"x"); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
	// A file is not the device mapper, whatever it is called.
	if _, err := c.Stat("a"); !errors.Is(err, unix.ENOTTY) {
		t.Error(err)
	}
	if err := c.Load("a", true, []dmtable.Target{{Type: ""}}); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
}
