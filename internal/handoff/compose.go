// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package handoff

import (
	"errors"
	"fmt"
	"os"

	"github.com/initddi/initddi/internal/linux/mount"
)

// overlayAt is where an overlay is put together, in a namespace of its own.
const overlayAt = "/run/initddi/overlay"

// Writable puts a file system in memory over a root that is mounted detached: what is written goes there, and is gone with the machine's
// power. It uses tree up, also if it fails.
func Writable(tree *mount.Mount) (*mount.Mount, error) {
	defer tree.Close()
	return assembled(overlayAt, func() error {
		memory, err := mount.New(mount.Request{Type: "tmpfs", Source: "tmpfs", Options: []mount.Option{{Key: "mode", Value: "0755"}}, Attr: mount.NoDev})
		if err != nil {
			return err
		}
		defer memory.Close()
		if err := memory.Attach(overlayAt); err != nil {
			return err
		}
		const lower, upper, work = overlayAt + "/lower", overlayAt + "/upper", overlayAt + "/work"
		for _, dir := range []string{lower, upper, work} {
			if err := os.Mkdir(dir, 0o755); err != nil {
				return fmt.Errorf("cannot make a writable root: %w", err)
			}
		}
		if err := tree.Attach(lower); err != nil {
			return err
		}
		info, err := os.Stat(lower)
		if err == nil {
			// The top of the tree has the permissions of its topmost layer.
			err = os.Chmod(upper, info.Mode().Perm())
		}
		if err != nil {
			return fmt.Errorf("cannot make a writable root: %w", err)
		}
		o := mount.Overlay{Source: "overlay", Lower: []string{lower}, Upper: upper, Work: work, Attr: mount.NoDev}
		return o.AttachAt(overlayAt)
	})
}

// AroundUsr puts the tree of a /usr that is mounted detached into a root in memory, as [Enter] does with one that nobody looks at
// before. It uses tree up, also if it fails.
func AroundUsr(tree *mount.Mount, initrd bool) (*mount.Mount, error) {
	defer tree.Close()
	entries, err := readDir("/.extra")
	extra := err == nil && len(entries) > 0
	return assembled(NewRoot, func() error { return attachUsr(Next{Tree: tree, Initrd: initrd}, extra) })
}

// assembled returns what f attached at a directory, detached. Nobody outside sees it being done.
func assembled(at string, f func() error) (whole *mount.Mount, err error) {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make %s: %w", at, err)
	}
	err = mount.InNamespace(func() error {
		err := f()
		if err == nil {
			whole, err = mount.Clone(at, true)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, os.Remove(at))
	}
	_ = os.Remove(at) // empty by now, and of no use to anybody; nor does it harm
	return whole, nil
}
