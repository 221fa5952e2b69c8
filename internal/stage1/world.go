// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package stage1 is the boot: it runs the flow cmdline, plan, discover, resolve, apply, handoff, and waits in between.
//
// It contains no decision of its own: what to do next comes from [resolve.Next], what was told from package plan. What it
// adds is the loop, the waiting for devices, the lines on the console, and what becomes of a failure.
package stage1

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/initddi/initddi/internal/ability"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/modtable"
	"github.com/initddi/initddi/internal/plan"
)

// Paths in stage 1's own file system.
const (
	TrustDir    = "/etc/verity.d"
	ModuleTable = "/etc/initddi/modules"
	ShellPath   = "/bbin/" + ability.Shell
	FetchPath   = "/bbin/" + ability.Fetch
	ReportPath  = "/run/initddi/boot.json"
	// NetworkState is where ddifetch keeps what the kernel does not keep of the network.
	NetworkState = "/run/initddi/network.json"
)

// World is the machine as stage 1 sees it: real, or captured in a directory.
type World struct {
	Root, Proc, Sys, Dev *os.Root
	// attached counts how often dm-verity was brought up: a number for the devices' names. Those of an attempt that was abandoned may be
	// there still when the next one begins.
	attached atomic.Int32
}

// Open opens the machine whose file system starts at root.
func Open(root string) (*World, error) {
	w := &World{}
	for _, d := range []struct {
		to   **os.Root
		name string
	}{{&w.Root, ""}, {&w.Proc, "proc"}, {&w.Sys, "sys"}, {&w.Dev, "dev"}} {
		r, err := os.OpenRoot(path.Join(root, d.name))
		if err != nil {
			return nil, fmt.Errorf("cannot open the machine: %w", err)
		}
		*d.to = r
	}
	return w, nil
}

// maxBaked bounds a file that was built into stage 1.
const maxBaked = 1 << 20

// PlanInput reads what the plan is made from. commandLine replaces /proc/cmdline where it is not nil.
func (w *World) PlanInput(commandLine *string) (plan.Input, error) {
	in := w.abilities().Input()
	if commandLine != nil {
		in.CommandLine = *commandLine
	} else {
		b, err := w.Proc.ReadFile("cmdline")
		if err != nil {
			return in, fmt.Errorf("cannot read the kernel command line: %w", err)
		}
		in.CommandLine = strings.TrimRight(string(b), "\n")
	}
	var err error
	if in.Config, err = w.baked(plan.ConfigPath); err != nil {
		return in, err
	}
	dir, err := w.Root.Open(strings.TrimPrefix(TrustDir, "/"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return in, fmt.Errorf("cannot read the trust store: %w", err)
	}
	if err == nil {
		entries, err := dir.ReadDir(-1)
		dir.Close()
		if err != nil {
			return in, fmt.Errorf("cannot read the trust store: %w", err)
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".crt") {
				continue
			}
			b, err := w.baked(TrustDir + "/" + e.Name())
			if err != nil {
				return in, err
			}
			in.Certificates = append(in.Certificates, plan.CertificateFile{Name: TrustDir + "/" + e.Name(), PEM: b})
		}
	}
	return in, nil
}

// abilities are what this program can do in that machine's stage 1.
func (w *World) abilities() ability.Set {
	var commands, tags []string
	for _, name := range []string{ShellPath, FetchPath} {
		if _, err := w.Root.Lstat(strings.TrimPrefix(name, "/")); err == nil {
			commands = append(commands, name)
		}
	}
	if !hasServers {
		tags = append(tags, ability.NoServers)
	}
	if !hasMerge {
		tags = append(tags, ability.NoMerge)
	}
	return ability.Of(commands, tags)
}

// baked reads a file of stage 1, nil if it does not exist.
func (w *World) baked(name string) ([]byte, error) {
	b, err := w.Root.ReadFile(strings.TrimPrefix(name, "/"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && len(b) > maxBaked {
		err = fmt.Errorf("%d bytes, at most %d are allowed: %w", len(b), maxBaked, fs.ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	return b, nil
}

// Modules reads the module table; a stage 1 for a kernel with everything built in has none, which is an empty table.
func (w *World) Modules() (*modtable.Table, error) {
	b, err := w.baked(ModuleTable)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return modtable.New(modtable.Spec{Release: "none"})
	}
	t, err := modtable.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", ModuleTable, err)
	}
	return t, nil
}

// Arch returns this machine's architecture as images name it.
func Arch() (gpt.Arch, error) {
	a, ok := gpt.ArchOf(runtime.GOARCH)
	if !ok {
		return "", fmt.Errorf("cannot boot on %s: no partition types are known for it: %w", runtime.GOARCH, errors.ErrUnsupported)
	}
	return a, nil
}
