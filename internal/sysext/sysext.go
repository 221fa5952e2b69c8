// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package sysext merges extensions into a system and takes them out again, as systemd-sysext(8) and systemd-confext(8) do.
//
// What a merge consists of is decided in package layers, and whether an image is acceptable in package resolve, by way of package ddi. Here is what
// looks at the system and changes it.
//
// A merge is built in a mount namespace of its own, where nobody sees it, into one detached mount for each hierarchy, with
// everything in it that belongs there. Only then it is attached, which cannot fail half-way. What is about to change is written
// down before: if the process is killed, the next one undoes a merge that was not finished, and finishes what was being undone.
package sysext

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/inroot"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/policy"
)

// Errors that callers decide on.
var (
	// ErrMerged says that there is a merge already.
	ErrMerged = errors.New("extensions are merged already")
	// ErrForbidden says that an extension has something that no extension may have.
	ErrForbidden = errors.New("no extension may have that")
	// ErrMeta says that a hierarchy looks like a merged one and is none that can be understood.
	ErrMeta = errors.New("its metadata makes no sense")
)

// Where things are if a [System] does not say otherwise.
const (
	// DefaultWorkspace is where a merge is built, unseen. It is systemd's, so that the paths in the list of mounts are, too.
	DefaultWorkspace = "/run/systemd/sysext"
	// DefaultState is where is written down what is being changed.
	DefaultState = "/run/initddi/merge"
)

// System is a root file system and what is to be merged into it. Its methods are not safe for concurrent use; processes wait for each other.
type System struct {
	Root        string // absolute; "" is /
	Class       layers.Class
	Hierarchies []string // nil: those of the class
	// OSRelease is the file in the root that says what the system is; "" is /etc/os-release, or /usr/lib/os-release.
	OSRelease        string
	Workspace, State string // "" are the defaults
	// Open judges an image. p is the policy for where it lies; plain says whether one without a hash tree may be used where the policy allows that.
	Open func(path string, p policy.Policy, plain bool) (*ddi.Image, error)
	// Drivers loads what mounting an image needs; nil where the kernel does that.
	Drivers *ddi.Drivers
	// Say gets what a person should know, a line each time; it may be nil.
	Say func(line string)
	// Step is called before each change that somebody could see, with what it is; it may be nil.
	Step func(what string)
}

// Options say how to merge.
type Options struct {
	// Force takes extensions that are for another system.
	Force   bool
	NoExec  *bool
	Mutable layers.Mutable
	// Policy, if it is not nil, is the image policy for all images.
	Policy *policy.Policy
	// MountOptions replaces the overlay's.
	MountOptions string
}

func (s *System) say(format string, args ...any) {
	if s.Say != nil {
		s.Say(fmt.Sprintf(format, args...))
	}
}

func (s *System) step(what, where string) {
	if s.Step != nil {
		s.Step(what + " " + where)
	}
}

func (s *System) hierarchies() []string {
	if s.Hierarchies == nil {
		return s.Class.Hierarchies()
	}
	return s.Hierarchies
}

func (s *System) workspace() string { return orElse(s.Workspace, DefaultWorkspace) }
func (s *System) state() string     { return orElse(s.State, DefaultState) }

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// key names the files below the state directory that are about this root and class.
func (s *System) key() string {
	sum := sha256.Sum256([]byte(filepath.Clean("/" + s.Root)))
	return string(s.Class) + "-" + hex.EncodeToString(sum[:8])
}

// open opens the root.
func (s *System) open() (*os.File, error) {
	f, err := os.Open(orElse(s.Root, "/"))
	if err != nil {
		return nil, fmt.Errorf("cannot open the root: %w", err)
	}
	return f, nil
}

// inRoot returns a path as it is in the root, if it is there, and else as it is.
func (s *System) inRoot(name string) string {
	if s.Root == "" {
		return name
	}
	if real, err := filepath.EvalSymlinks(s.Root); err == nil {
		if rest := layers.Below(name, real); rest != "" {
			return rest
		}
	}
	return name
}

// place is a hierarchy and where it is.
type place struct {
	hierarchy string
	path      string // "" if it does not exist
}

// places finds the hierarchies in the root.
func (s *System) places(root *os.File) ([]place, error) {
	var out []place
	for _, h := range s.hierarchies() {
		p := place{hierarchy: h}
		f, err := inroot.Handle(root, h)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("cannot find the hierarchy %s: %w", h, err)
		default:
			p.path, err = inroot.Where(f)
			f.Close()
			if err != nil {
				return nil, err
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// merged reports whether what is mounted at path is a merge of the class: its metadata directory names the device that it lies on.
func (s *System) merged(path string) (bool, error) {
	if path == "" {
		return false, nil
	}
	is, err := mount.IsMountPoint(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || !is {
		return false, err
	}
	name := filepath.Join(path, s.Class.MetaDir(), "dev")
	b, err := readMeta(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	major, minor, ok := layers.ParseDev(line)
	if !ok {
		return false, fmt.Errorf("cannot use %s: %q is no device number: %w", name, line, ErrMeta)
	}
	realMajor, realMinor, err := mount.Device(path)
	if err != nil {
		return false, err
	}
	// A copy of a merged tree that somebody made is none.
	return major == realMajor && minor == realMinor, nil
}

// maxMeta bounds a metadata file; the list of a thousand names has 256 kB.
const maxMeta = 1 << 20

func readMeta(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxMeta {
		return nil, fmt.Errorf("cannot read %s: not a file of at most %d bytes: %w", name, maxMeta, ErrMeta)
	}
	return os.ReadFile(name)
}

// Hierarchy is the state of one hierarchy.
type Hierarchy struct {
	Path       string
	Merged     bool
	Extensions []string
	Since      time.Time // of a merged one
}

// Status says what is merged. Hierarchies that do not exist are left out.
func (s *System) Status() ([]Hierarchy, error) {
	root, err := s.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	places, err := s.places(root)
	if err != nil {
		return nil, err
	}
	var out []Hierarchy
	for _, p := range places {
		if p.path == "" {
			continue
		}
		h := Hierarchy{Path: p.hierarchy}
		if h.Merged, err = s.merged(p.path); err != nil {
			return nil, err
		}
		if h.Merged {
			if h.Extensions, err = s.mergedNames(p.path); err != nil {
				return nil, err
			}
			info, err := os.Stat(p.path)
			if err != nil {
				return nil, fmt.Errorf("cannot find out since when %s is merged: %w", p.hierarchy, err)
			}
			h.Since = info.ModTime()
		}
		out = append(out, h)
	}
	return out, nil
}

// mergedNames returns the extensions that are merged at path.
func (s *System) mergedNames(path string) ([]string, error) {
	b, err := readMeta(filepath.Join(path, s.Class.MetaDir(), s.Class.Plural()))
	if err != nil {
		return nil, fmt.Errorf("cannot find out what is merged at %s: %w", path, err)
	}
	return layers.ParseList(string(b)), nil
}

// WantsReload reports whether an extension that is merged wants the service manager to read its units again.
func (s *System) WantsReload() (bool, error) {
	root, err := s.open()
	if err != nil {
		return false, err
	}
	defer root.Close()
	places, err := s.places(root)
	if err != nil {
		return false, err
	}
	for _, p := range places {
		is, err := s.merged(p.path)
		if err != nil {
			return false, err
		}
		if !is {
			continue
		}
		names, err := s.mergedNames(p.path)
		if err != nil {
			return false, err
		}
		for _, name := range names {
			// The merged tree has the file of every extension.
			if f, err := readRelease(root, s.Class, name); err == nil && layers.ReloadManager(f) {
				return true, nil
			}
		}
	}
	return false, nil
}
