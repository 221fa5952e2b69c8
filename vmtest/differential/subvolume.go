// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// subvolumes has some of the extensions of a case be subvolumes of a btrfs, which is what the whole fake root is on then. It is the last that is
// drawn, so that it changes no case otherwise.
func (g *generator) subvolumes() {
	if !g.c.Root || !g.one(9) {
		return
	}
	var made []file
	for _, f := range g.c.Files {
		at, _, ok := strings.Cut(f.Path, g.release(""))
		if !ok || slices.ContainsFunc(made, func(m file) bool { return m.Path == at }) || g.one(4) {
			continue
		}
		made = append(made, file{Path: at, Kind: "subvolume"})
	}
	if len(made) == 0 {
		return
	}
	g.c.Files = append(made, g.c.Files...)
	g.c.trait("subvolumes")
}

// missingForSubvolumes says what this machine lacks for them, if anything.
func missingForSubvolumes() string {
	if _, err := exec.LookPath("mkfs.btrfs"); err != nil {
		return "mkfs.btrfs (Debian package btrfs-progs)"
	}
	// It may be a module that nobody needed yet; without one this says so, too.
	_ = exec.Command("modprobe", "btrfs").Run()
	if b, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(b), "\tbtrfs\n") {
		return "a kernel with btrfs"
	}
	return ""
}

// btrfsSize is enough for a fake root, and the least that mkfs.btrfs takes with its usual profiles.
const btrfsSize = 256 << 20

// mountBtrfs mounts a new btrfs, which is gone with the mount.
func mountBtrfs(at string) error {
	f, err := os.CreateTemp("", "differential-*.btrfs")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := f.Truncate(btrfsSize); err != nil {
		return err
	}
	if err := tool("mkfs.btrfs", "-q", f.Name()); err != nil {
		return err
	}
	if err := tool("mount", "-o", "loop", f.Name(), at); err != nil {
		return err
	}
	return unix.Chmod(at, 0o755)
}

func makeSubvolume(at string) error { return tool("btrfs", "subvolume", "create", at) }

// tool runs a program of this machine.
func tool(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot run %s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}
