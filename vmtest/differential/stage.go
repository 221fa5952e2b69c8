// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/mountinfo"
)

// stage is where cases are played: the tree of a Debian with systemd's tools, in this process's own mount namespace.
type stage struct {
	tree string // where the tree is; the tools run in it
	// noSubvolumes says that this machine can make none: they are directories then.
	noSubvolumes bool
}

// setUp makes the tree a system that tools can run in. Its own directories are left alone: what is written goes to memory.
func (s *stage) setUp(program string) error {
	var errs []error
	try := func(err error, what string) {
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot set up the stage: %s: %w", what, err))
		}
	}
	try(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), "private mounts")
	try(unix.Mount(s.tree, s.tree, "", unix.MS_BIND, ""), "bind mount")
	// Systemd's way of merging depends on this: what is mounted in its namespace has to show in ours.
	try(unix.Mount("", s.tree, "", unix.MS_REC|unix.MS_SHARED, ""), "shared mounts")
	try(unix.Mount("proc", s.tree+"/proc", "proc", 0, ""), "/proc")
	try(unix.Mount("sysfs", s.tree+"/sys", "sysfs", 0, ""), "/sys")
	try(unix.Mount("/dev", s.tree+"/dev", "", unix.MS_BIND|unix.MS_REC, ""), "/dev")
	for _, dir := range []string{"/run", "/tmp", "/srv", "/var/lib"} {
		try(unix.Mount("tmpfs", s.tree+dir, "tmpfs", 0, "mode=0755"), dir)
	}
	// The time that 257 shows for a hierarchy is that of the running system's, which has to have one.
	try(os.MkdirAll(s.tree+"/srv/deep/h", 0o755), "/srv")
	if err := errors.Join(errs...); err != nil {
		return err
	}
	b, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	return os.WriteFile(s.tree+ourTool, b, 0o755)
}

// place returns the directory that a path of the case begins in, and the rest of it.
func (s *stage) place(c *testCase, name string) (base, rest string) {
	base = s.tree + fakeRoot
	if !c.Root && strings.HasPrefix(name, "/run/") {
		base = s.tree
	}
	return base, strings.TrimPrefix(path.Clean(name), "/")
}

// build makes the fake root of a case, on a file system of its own.
func (s *stage) build(c *testCase) error {
	if err := os.MkdirAll(s.tree+fakeRoot, 0o755); err != nil {
		return err
	}
	var err error
	if c.is("subvolumes") && !s.noSubvolumes {
		err = mountBtrfs(s.tree + fakeRoot)
	} else {
		err = unix.Mount("tmpfs", s.tree+fakeRoot, "tmpfs", 0, "mode=0755")
	}
	if err != nil {
		return fmt.Errorf("cannot make the fake root: %w", err)
	}
	return s.make(c, c.Files)
}

func (s *stage) make(c *testCase, files []file) error {
	for _, f := range files {
		if err := s.makeOne(c, f); err != nil {
			return fmt.Errorf("cannot make %q: %w", f.Path, err)
		}
	}
	return nil
}

// makeOne makes a file. What is in the way wins: a generated case may contradict itself.
func (s *stage) makeOne(c *testCase, f file) error {
	base, rest := s.place(c, f.Path)
	root, err := os.OpenRoot(base)
	if err != nil {
		return err
	}
	defer root.Close()
	if root.MkdirAll(path.Dir(rest), 0o755) != nil {
		return nil
	}
	_, err = root.Lstat(rest)
	exists := err == nil
	full := filepath.Join(base, rest)
	if parent, err := filepath.EvalSymlinks(filepath.Dir(full)); err != nil || parent != filepath.Clean(base) && !strings.HasPrefix(parent, base+"/") {
		return nil
	}
	switch {
	case f.Kind == "mount", f.Kind == "bind":
		return s.mount(c, f, root, rest, full)
	case f.Kind == "dir" || f.Kind == "subvolume":
		if !exists && f.Kind == "subvolume" && !s.noSubvolumes {
			err = makeSubvolume(full)
		} else if !exists {
			err = root.Mkdir(rest, 0o755)
		} else if info, serr := root.Lstat(rest); serr == nil && !info.IsDir() {
			return nil
		} else {
			err = nil
		}
	case exists:
		return nil
	case f.Kind == "link":
		return os.Symlink(f.Text, full)
	case f.Kind == "char":
		err = unix.Mknod(full, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
	case f.Kind == "whiteout":
		err = unix.Mknod(full, unix.S_IFCHR, 0)
	case f.Kind == "fifo":
		err = unix.Mkfifo(full, 0o644)
	default:
		err = os.WriteFile(full, []byte(f.Text), 0o644)
	}
	if err != nil {
		if errors.Is(err, unix.EROFS) {
			return nil // a step that writes to what is read-only
		}
		return err
	}
	return attributes(full, f)
}

func attributes(full string, f file) error {
	var errs []error
	if f.Owner != 0 {
		errs = append(errs, os.Lchown(full, f.Owner, f.Owner))
	}
	if f.Mode != 0 {
		errs = append(errs, unix.Chmod(full, f.Mode))
	}
	for k, v := range f.Xattrs {
		errs = append(errs, unix.Lsetxattr(full, k, []byte(v), 0))
	}
	return errors.Join(errs...)
}

func (s *stage) mount(c *testCase, f file, root *os.Root, rest, full string) error {
	if f.Kind == "bind" {
		base, source := s.place(c, f.Text)
		return unix.Mount(filepath.Join(base, source), full, "", unix.MS_BIND, "")
	}
	if err := root.MkdirAll(rest, 0o755); err != nil {
		return nil
	}
	return unix.Mount("sub", full, "tmpfs", 0, "mode=0755")
}

// remove removes what a step removes.
func (s *stage) remove(c *testCase, name string) error {
	base, rest := s.place(c, name)
	dir := filepath.Join(base, rest)
	list, err := os.ReadDir(dir)
	if err != nil || len(list) == 0 {
		return nil
	}
	// Of several extensions one stays.
	for _, e := range list[:(len(list)+1)/2] {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	return nil
}

// clean takes the fake root away, with all that is mounted there.
func (s *stage) clean() error {
	var errs []error
	for {
		err := unix.Unmount(s.tree+fakeRoot, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
	}
	for _, dir := range []string{"/run/extensions", "/run/confexts", "/run/initddi", "/var/lib/extensions.mutable"} {
		errs = append(errs, os.RemoveAll(s.tree+dir))
	}
	return errors.Join(errs...)
}

// snapshot describes all files below the fake root and what is mounted there, by path.
func (s *stage) snapshot() (map[string]string, error) {
	out := map[string]string{}
	base := s.tree + fakeRoot
	err := filepath.WalkDir(base, func(name string, _ fs.DirEntry, err error) error {
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
		text, err := describe(name)
		if err != nil {
			return err
		}
		out["file "+strings.TrimPrefix(name, base)] = text
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, s.mounts(out)
}

// describe returns everything about a file but its times.
func describe(name string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); errors.Is(err, unix.ENOENT) {
		return "(listed, and not there)", nil // a whiteout below something opaque
	} else if err != nil {
		return "", &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	text := fmt.Sprintf("%06o %d:%d", st.Mode, st.Uid, st.Gid)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR, unix.S_IFBLK:
		text += fmt.Sprintf(" device %d", st.Rdev)
	case unix.S_IFLNK:
		to, err := os.Readlink(name)
		if err != nil {
			return "", err
		}
		text += " to " + to
	case unix.S_IFREG:
		b, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		content := string(b)
		if path.Base(name) == "dev" && strings.HasPrefix(path.Base(path.Dir(name)), ".systemd-") {
			// It has to be the number of the device that the merged hierarchy is on.
			var top unix.Stat_t
			if err := unix.Lstat(path.Dir(path.Dir(name)), &top); err != nil {
				return "", err
			}
			if content == fmt.Sprintf("%d:%d\n", unix.Major(top.Dev), unix.Minor(top.Dev)) {
				content = "(the device)"
			}
		}
		text += fmt.Sprintf(" %q", content)
	}
	return text + xattrs(name), nil
}

// xattrs lists attributes. What an overlay writes down for itself has values that differ from one to the next.
func xattrs(name string) string {
	b := make([]byte, 4096)
	n, err := unix.Llistxattr(name, b)
	if err != nil || n == 0 {
		return ""
	}
	list := strings.Split(strings.TrimSuffix(string(b[:n]), "\x00"), "\x00")
	slices.Sort(list)
	text := ""
	for _, k := range list {
		v := make([]byte, 256)
		n, err := unix.Lgetxattr(name, k, v)
		if err != nil || strings.HasPrefix(k, "trusted.overlay.") && k != "trusted.overlay.opaque" {
			n = 0
		}
		text += fmt.Sprintf(" %s=%q", k, v[:n])
	}
	return text
}

// mounts adds what is mounted below the fake root.
func (s *stage) mounts(out map[string]string) error {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	list, err := mountinfo.Parse(string(b))
	if err != nil {
		return err
	}
	for _, m := range list {
		rest, ok := strings.CutPrefix(m.Point, s.tree+fakeRoot+"/")
		if !ok {
			continue
		}
		key := "mount /" + rest
		for out[key] != "" {
			key += " beneath"
		}
		out[key] = m.Type + " " + m.Source + " " + m.Options + " " + superOptions(m.SuperOptions)
	}
	return nil
}

// superOptions writes the layers of an overlay one way, however they were given.
func superOptions(text string) string {
	var out []string
	for _, o := range splitEscaped(text, ',') {
		if layers, ok := strings.CutPrefix(o, "lowerdir="); ok {
			for _, l := range splitEscaped(layers, ':') {
				out = append(out, "layer "+unescape(l))
			}
			continue
		}
		if l, ok := strings.CutPrefix(o, "lowerdir+="); ok {
			o = "layer " + unescape(l)
		}
		out = append(out, o)
	}
	return strings.Join(out, ", ")
}

func splitEscaped(text string, sep byte) []string {
	var out []string
	start := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case sep:
			out = append(out, text[start:i])
			start = i + 1
		}
	}
	return append(out, text[start:])
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
