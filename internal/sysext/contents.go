// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package sysext

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/files"
	"github.com/initddi/initddi/internal/linux/inroot"
)

// osReleases are the files that say what a system is, as far as extensions of a class could replace them. Only a sysext must not, as
// systemd has it; before the hand-over neither must a confext: what the boot image is was decided before, and what kind of system it is, which
// a file below /usr says where /etc has a link to it.
func osReleases(c layers.Class, boot bool) []string {
	switch {
	case c == layers.Sysext && boot:
		return []string{"/usr/lib/os-release", "/usr/lib/initrd-release"}
	case c == layers.Sysext:
		return []string{"/usr/lib/os-release"}
	case boot:
		return []string{"/etc/os-release", "/etc/initrd-release"}
	}
	return nil
}

// forbidden refuses an extension's directory for what no extension may have.
func (s *System) forbidden(img Image) error {
	tree, err := os.Open(img.Path)
	if err != nil {
		return fmt.Errorf("cannot look into the extension %s: %w", img.Name, err)
	}
	defer tree.Close()
	what, err := s.contents(tree, false, false)
	return refuse(img.Name, what, err)
}

func refuse(name, what string, err error) error {
	if err == nil && what != "" {
		err = ErrForbidden
	}
	if err != nil && what != "" {
		return fmt.Errorf("cannot merge the extension %s: it has %s: %w", name, what, err)
	}
	if err != nil {
		return fmt.Errorf("cannot look into the extension %s: %w", name, err)
	}
	return nil
}

// contents returns what the extension whose tree is open has and must not have, "" if there is nothing. boot says that it is
// merged before the hand-over, force that what the system says it is may be replaced.
func (s *System) contents(tree *os.File, boot, force bool) (what string, err error) {
	for _, hierarchy := range s.hierarchies() {
		h, err := inroot.Handle(tree, hierarchy)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		what, err := s.contentsOf(h, hierarchy, boot, force)
		if err := errors.Join(err, h.Close()); what != "" || err != nil {
			return what, err
		}
	}
	if force || s.Class != layers.Sysext {
		return "", nil
	}
	// However it is reached: so systemd asks.
	h, err := inroot.Handle(tree, "/usr/lib/os-release")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return "/usr/lib/os-release", h.Close()
}

// contentsOf is that for one hierarchy, whose directory in the extension is open.
func (s *System) contentsOf(h *os.File, hierarchy string, boot, force bool) (string, error) {
	top := inroot.ThroughProc(h)
	// What lies there would show through the metadata of the merge, of which one file says what to remove when it is taken out.
	if _, err := os.Lstat(top + "/" + s.Class.MetaDir()); err == nil {
		return path.Join(hierarchy, s.Class.MetaDir()), nil
	} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return "", err
	}
	if force {
		return "", nil
	}
	for _, name := range osReleases(s.Class, boot) {
		rest := layers.Below(name, hierarchy)
		if rest == "" {
			continue
		}
		hides, err := hides(top, rest)
		if err != nil {
			return "", err
		}
		if hides != "" {
			return path.Join(hierarchy, hides), nil
		}
	}
	return "", nil
}

// hides returns what in a layer of an overlay hides the file rest of the layers below: itself, whatever it is, something other than a directory above
// it, or a directory that is said to replace those below. "" is nothing.
func hides(top, rest string) (string, error) {
	at := ""
	for _, name := range strings.Split(strings.Trim(rest, "/"), "/") {
		at += "/" + name
		info, err := os.Lstat(top + at)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if at == rest || !info.IsDir() {
			return at, nil
		}
		for _, attribute := range [...]string{"trusted.overlay.opaque", "trusted.overlay.redirect"} {
			if files.HasAttribute(top+at, attribute) {
				return at + " with " + attribute, nil
			}
		}
	}
	return "", nil
}
