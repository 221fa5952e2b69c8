// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVerbs: by its own name the program blesses, by the link's it takes verbs.
func TestVerbs(t *testing.T) {
	report := []string{"--report", "../../internal/status/testdata/os.json"}
	nothing := []string{"--efivars", filepath.Join(t.TempDir(), "none")}
	for _, test := range []struct {
		name string
		args []string
		says string // in what is printed, or in the error
	}{
		{"initddi-bless", append(append([]string{"--status"}, report...), nothing...), "not recorded: /loader/ddi/debian_13.raw"},
		{"initddi", append(append([]string{"bless", "--status"}, report...), nothing...), "not recorded: /loader/ddi/debian_13.raw"},
		{"initddi", append([]string{"status"}, report...), "Entered: /loader/ddi/debian_13.raw on /dev/vda1"},
		{"initddi", nil, "initddi VERB --help"},
		{"initddi", []string{"--help"}, "initddi VERB --help"},
		{"initddi", []string{"ddi"}, `cannot find the verb "ddi"`},
		{"initddi-bless", []string{"status"}, `cannot use the argument "status"`},
	} {
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		if err := run(context.Background(), out, test.name, test.args); err != nil {
			text = err.Error()
		} else if b, err := os.ReadFile(out.Name()); err == nil {
			text = string(b)
		}
		out.Close()
		if !strings.Contains(text, test.says) {
			t.Errorf("%s %q says %q, wanted %q", test.name, test.args, text, test.says)
		}
	}
}
