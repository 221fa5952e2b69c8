// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package handoff

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"

	"github.com/initddi/initddi/internal/linux/mount"
)

// attachUsr puts an empty root in memory at NewRoot, the tree at /usr of that, and beside it what a system without anything
// else needs to begin: the directories and links that systemd's base-filesystem.c makes. The rest is the next init's to make,
// as systemd-tmpfiles and systemd-sysusers do.
func attachUsr(n Next, extra bool) error {
	root, err := mount.New(mount.Request{Type: "tmpfs", Source: "tmpfs", Options: []mount.Option{{Key: "mode", Value: "0755"}}, Attr: mount.NoDev})
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Attach(NewRoot); err != nil {
		return err
	}
	usr := path.Join(NewRoot, "usr")
	if err := os.Mkdir(usr, 0o755); err != nil {
		return fmt.Errorf("cannot make the root in memory: %w", err)
	}
	if err := n.Tree.Attach(usr); err != nil {
		return err
	}
	return makeBase(NewRoot, n.Initrd, extra)
}

// makeBase makes what belongs to a root whose /usr is there: of the links, those whose target is.
func makeBase(root string, initrd, extra bool) error {
	type dir struct {
		name string
		mode fs.FileMode
	}
	dirs := []dir{{"root", 0o750}, {"var", 0o755}, {"etc", 0o755}, {"proc", 0o555}, {"sys", 0o555}, {"dev", 0o555}, {"run", 0o555}}
	type link struct{ name, to string }
	links := []link{{"bin", "usr/bin"}, {"lib", "usr/lib"}, {"sbin", "usr/sbin"}}
	if extra {
		dirs = append(dirs, dir{".extra", 0o755})
	}
	if initrd {
		dirs = append(dirs, dir{"sysroot", 0o755})
		links = append(links, link{"etc/initrd-release", "../usr/lib/initrd-release"})
	}
	// Every program names the dynamic loader by a path in /lib64; where that leads depends on the distribution.
	for _, to := range []string{"usr/lib64", "usr/lib"} {
		if _, err := os.Lstat(path.Join(root, to, loader())); err == nil {
			links = append(links, link{"lib64", to})
			break
		}
	}
	for _, d := range dirs {
		name := path.Join(root, d.name)
		if err := errors.Join(os.Mkdir(name, d.mode), os.Chmod(name, d.mode)); err != nil {
			return fmt.Errorf("cannot make the root in memory: %w", err)
		}
	}
	for _, l := range links {
		if _, err := os.Lstat(path.Join(root, path.Dir(l.name), l.to)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.Symlink(l.to, path.Join(root, l.name)); err != nil {
			return fmt.Errorf("cannot make the root in memory: %w", err)
		}
	}
	return nil
}

// loader is the file name of this architecture's dynamic loader.
func loader() string {
	if runtime.GOARCH == "arm64" {
		return "ld-linux-aarch64.so.1"
	}
	return "ld-linux-x86-64.so.2"
}
