// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/initddi/initddi/vmtest"
	"github.com/initddi/initddi/vmtest/attack"
)

// judgeTrees is the first argument of the tamper that another one starts as root.
const judgeTrees = "judge-extensions"

// judged is what the one tells the other about a case.
type judged struct {
	Finding attack.Finding `json:"finding"`
	Wrong   []string       `json:"wrong"`
}

// tryTrees has tampered extensions merged, by root in a mount namespace of its own.
func tryTrees(ctx context.Context, module string, cases []*attack.Case, s *vmtest.Summary, rows io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"unshare", "--mount", self, judgeTrees}
	for _, c := range cases {
		args = append(args, c.Name)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(module, "scripts/as-root"), args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot judge extensions: %w", err)
	}
	in := json.NewDecoder(out)
	for _, c := range cases {
		start := time.Now()
		var j judged
		if err := in.Decode(&j); err != nil {
			return fmt.Errorf("cannot judge %s: %w", c.Name, errors.Join(err, cmd.Wait()))
		}
		row(s, rows, c, j.Finding, j.Wrong, time.Since(start))
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("cannot judge extensions: %w", err)
	}
	return nil
}

// judge is the other side: it merges the extensions with these names.
func judge(names []string) error {
	all := attack.Cases()
	out := json.NewEncoder(os.Stdout)
	for _, name := range names {
		i := slices.IndexFunc(all, func(c attack.Case) bool { return c.Name == name && c.Extension != nil })
		if i < 0 {
			return fmt.Errorf("cannot judge %s: there is no such extension", name)
		}
		dir, err := os.MkdirTemp("", "initddi-tamper-")
		if err != nil {
			return err
		}
		var j judged
		j.Finding, j.Wrong = attack.TryTree(&all[i], dir)
		if err := errors.Join(out.Encode(j), os.Remove(dir)); err != nil {
			return err
		}
	}
	return nil
}
