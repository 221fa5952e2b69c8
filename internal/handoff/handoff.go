// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package handoff gives the machine to the next init: it carries over what that expects to find, and becomes it.
//
// What systemd expects of an initrd is its docs/INITRD_INTERFACE.md: /dev, /proc, /sys and /run mounted, and /run a tmpfs that
// it keeps. The order here is such that everything that can be found out beforehand is found out before the first step that
// cannot be undone.
package handoff

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/linux/process"
)

// NewRoot is where the verified tree is attached in the initramfs.
const NewRoot = "/newroot"

// ExtraDir is where systemd-stub leaves what it delivers, and systemd looks for it.
const ExtraDir = "/.extra"

// carried are the mounts that go into the new root, in this order.
var carried = [...]string{"/dev", "/proc", "/sys", "/run"}

// Pseudo mounts what every step of stage 1 needs, with the flags and the limits that systemd gives them (mount-setup.c) and will find: it keeps
// what is mounted already.
func Pseudo() error {
	for _, m := range []struct {
		path string
		req  mount.Request
	}{
		{"/dev", mount.Request{Type: "devtmpfs", Source: "devtmpfs", Options: []mount.Option{{Key: "mode", Value: "0755"}, {Key: "size", Value: "4m"}}, Attr: mount.NoSuid | mount.StrictAtime}},
		{"/proc", mount.Request{Type: "proc", Source: "proc", Attr: mount.NoSuid | mount.NoExec | mount.NoDev}},
		{"/sys", mount.Request{Type: "sysfs", Source: "sysfs", Attr: mount.NoSuid | mount.NoExec | mount.NoDev}},
		{"/run", mount.Request{Type: "tmpfs", Source: "tmpfs", Options: []mount.Option{{Key: "mode", Value: "0755"}, {Key: "size", Value: "20%"}, {Key: "nr_inodes", Value: "800k"}}, Attr: mount.NoSuid | mount.NoDev | mount.StrictAtime}},
	} {
		if err := os.MkdirAll(m.path, 0o755); err != nil {
			return fmt.Errorf("cannot make the mount point %s: %w", m.path, err)
		}
		// A kernel with CONFIG_DEVTMPFS_MOUNT, or a shell that ran before, may have done it.
		if is, err := mount.IsMountPoint(m.path); err == nil && is {
			continue
		}
		t, err := mount.New(m.req)
		if err != nil {
			return err
		}
		err = t.Attach(m.path)
		t.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// Next is what to become.
type Next struct {
	Tree *mount.Mount
	// Usr says that the tree is a /usr: it is entered on a root in memory. Initrd says that it is one of an initrd.
	Usr, Initrd bool
	Init        string   // path in the tree
	Args        []string // behind argv[0]
	Env         []string
	// HasExtra says that the tree has a directory /.extra. NoCredentials leaves them out where it has none: systemd imports none out of /.extra then,
	// but services would find them elsewhere.
	HasExtra, NoCredentials bool
	// Except are files in /.extra that are not carried over: the image itself, and extensions that are merged into it.
	Except []string
	// Found are mounted below /.extra of a tree that has it.
	Found []Found
}

// Found is a tree, mounted detached, that the next init finds below [ExtraDir].
type Found struct {
	Tree *mount.Mount
	Path string // below the directory
}

// Enter hands over. It returns only if that failed; lost says that the initramfs was already given up by then, so that
// nothing but a reboot can follow. Otherwise nothing is left of the attempt, the tree included, and another can be made.
func Enter(n Next) (lost bool, err error) {
	defer process.Guard(&err)
	err = assemble(n)
	n.Tree.Close()
	for _, f := range n.Found {
		f.Tree.Close()
	}
	if err != nil {
		return false, errors.Join(err, takeApart())
	}
	lost = true
	for _, path := range carried {
		if err := mount.Move(path, NewRoot+path); err != nil {
			return true, err
		}
	}
	left, err := mount.SwitchRoot(NewRoot)
	if err != nil && !left {
		return true, err
	}
	// The console that the kernel opened is a node of the initramfs, which it would keep alive.
	cerr := process.UseConsole("/dev/console")
	return true, errors.Join(process.Exec(n.Init, append([]string{n.Init}, n.Args...), n.Env), err, cerr)
}

// assemble puts together at [NewRoot] what the next init shall see but for the carried mounts.
func assemble(n Next) (err error) {
	defer process.Guard(&err)
	if err := os.MkdirAll(NewRoot, 0o755); err != nil {
		return fmt.Errorf("cannot make %s: %w", NewRoot, err)
	}
	extra, err := carryExtra(ExtraDir, n.Except)
	if err == nil && extra == nil && len(n.Found) > 0 {
		extra, err = emptyExtra()
	}
	if err != nil {
		return err
	}
	if extra != nil {
		defer extra.Close()
	}
	if n.Usr {
		err = attachUsr(n, extra != nil)
		n.HasExtra = true
	} else {
		err = n.Tree.Attach(NewRoot)
	}
	if err != nil || extra == nil {
		return err
	}
	if err := placeExtra(extra, n); err != nil {
		return err
	}
	// The mount point is empty by now, and of no use to anybody; nor does it harm.
	_ = os.Remove(staging)
	return nil
}

// takeApart undoes what [assemble] did or began to do. Credentials that were copied are those that another attempt would copy.
func takeApart() error {
	var errs []error
	for _, path := range []string{NewRoot, staging} {
		if is, err := mount.IsMountPoint(path); err == nil && is {
			errs = append(errs, mount.Unmount(path))
		}
	}
	return errors.Join(errs...)
}

// staging is where the copy of /.extra is mounted on its way into the image.
const staging = "/run/initddi/extra"

// carryExtra copies what systemd-stub left in the initramfs into a tmpfs of its own, but for the files except; nil if there is nothing.
// The copy is what survives the initramfs.
func carryExtra(from string, except []string) (*mount.Mount, error) {
	entries, err := readDir(from)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", from, err)
	}
	m, err := emptyExtra()
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(from)
	if err == nil {
		err = os.Chmod(staging, info.Mode().Perm())
	}
	if err == nil {
		err = copyTree(from, staging, except)
	}
	if err != nil {
		return nil, errors.Join(err, mount.Unmount(staging))
	}
	return m, nil
}

// emptyExtra mounts the tmpfs at [staging].
func emptyExtra() (*mount.Mount, error) {
	m, err := mount.New(mount.Request{Type: "tmpfs", Source: "tmpfs", Options: []mount.Option{{Key: "mode", Value: "0755"}}, Attr: mount.NoSuid | mount.NoDev | mount.NoExec})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(staging, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make %s: %w", staging, err)
	}
	if err := m.Attach(staging); err != nil {
		return nil, err
	}
	return m, nil
}

// placeExtra puts the copy where systemd looks for it: at /.extra if the image has that directory, else each file where it is found without.
func placeExtra(extra *mount.Mount, n Next) error {
	if !n.HasExtra {
		return errors.Join(passOn(staging, n.NoCredentials), mount.Unmount(staging))
	}
	if err := extra.Attach(NewRoot + ExtraDir); err != nil {
		return err
	}
	for _, f := range n.Found {
		at := path.Join(NewRoot+ExtraDir, f.Path)
		if err := os.MkdirAll(at, 0o755); err != nil {
			return fmt.Errorf("cannot make a place below %s: %w", ExtraDir, err)
		}
		if err := f.Tree.Attach(at); err != nil {
			return err
		}
	}
	return nil
}

// readDir is [os.ReadDir] without sorting, which is not needed here and some kilobytes for this type alone.
func readDir(name string) ([]fs.DirEntry, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// copyTree copies what is in a directory, but for the files except and what is neither file nor directory.
func copyTree(from, to string, except []string) error {
	entries, err := readDir(from)
	if err != nil {
		return fmt.Errorf("cannot copy %s: %w", from, err)
	}
	for _, e := range entries {
		path, target := from+"/"+e.Name(), to+"/"+e.Name()
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("cannot copy %s: %w", path, err)
		}
		switch {
		case e.IsDir():
			if err = os.Mkdir(target, 0o755); err == nil {
				err = os.Chmod(target, info.Mode().Perm())
			}
			if err != nil {
				return fmt.Errorf("cannot copy %s: %w", path, err)
			}
			err = copyTree(path, target, except)
		case e.Type().IsRegular() && !slices.Contains(except, path):
			err = copyFile(path, target, info.Mode().Perm())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyFile leaves no file that was not copied whole.
func copyFile(from, to string, mode fs.FileMode) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("cannot copy %s: %w", from, err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("cannot copy %s: %w", from, err)
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			os.Remove(to)
		}
	}()
	if _, err := io.Copy(out, in); err != nil {
		return fmt.Errorf("cannot copy %s: %w", from, err)
	}
	return nil
}
