// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package layers

import (
	"errors"
	"fmt"
	"path"
	"slices"
)

// Mutable says whether a merged hierarchy can be written to and where that goes. The zero value is [MutableNo].
type Mutable string

// The modes, as --mutable= has them.
const (
	MutableNo              Mutable = "no"               // read-only
	MutableAuto            Mutable = "auto"             // written to the mutable directory if there is one
	MutableYes             Mutable = "yes"              // written to the mutable directory, which is made
	MutableImport          Mutable = "import"           // read-only, with the mutable directory as a layer
	MutableEphemeral       Mutable = "ephemeral"        // written to memory
	MutableEphemeralImport Mutable = "ephemeral-import" // likewise, with the mutable directory as a layer
)

// MutableBase is where mutable directories are; each is called as [Component] has it.
const MutableBase = "/var/lib/extensions.mutable"

// ErrMutable says that a text is none of the modes.
var ErrMutable = errors.New("none of no, auto, yes, import, ephemeral, ephemeral-import")

// ParseMutable reads a mode, or a truth value for yes and no. The error wraps [ErrMutable].
func ParseMutable(text string) (Mutable, error) {
	m := Mutable(text)
	if slices.Contains([]Mutable{MutableNo, MutableAuto, MutableYes, MutableImport, MutableEphemeral, MutableEphemeralImport}, m) {
		return m, nil
	}
	yes, err := ParseBool(text)
	switch {
	case err != nil:
		return MutableNo, fmt.Errorf("cannot use %q: %w", text, ErrMutable)
	case yes:
		return MutableYes, nil
	}
	return MutableNo, nil
}

// InMemory reports whether what is written goes to memory.
func (m Mutable) InMemory() bool { return m == MutableEphemeral || m == MutableEphemeralImport }

// Off reports whether nothing but extensions makes a layer.
func (m Mutable) Off() bool { return m == MutableNo || m == "" }

// Tree is a directory as far as the layers ask for it.
type Tree struct {
	Path     string // resolved
	Mode     uint32 // permissions
	Empty    bool
	ReadOnly bool // the file system is
	// Parent tells whether the directory above is on the same file system.
	Parent bool
	// Node identifies the directory: device and inode.
	Node string
}

// Request is what the layers of one hierarchy are made of. A nil Tree is a directory that does not exist.
type Request struct {
	Class     Class
	Hierarchy string
	Mutable   Mutable
	NoExec    *bool  // replaces what the class has
	Options   string // replaces the overlay's options; "" keeps them
	Meta      string // directory with the metadata directory in it
	// Extensions are the directories in the extensions that are to be merged, the topmost first; those that are empty are left out.
	Extensions []string
	// Host is the hierarchy as it is without extensions.
	Host *Tree
	// Upper is where what is written goes: the mutable directory, or one in memory.
	Upper *Tree
	// Import is the mutable directory of [MutableEphemeralImport].
	Import *Tree
}

// Stack is what the overlay of one hierarchy is mounted with.
type Stack struct {
	Lower       []string // the topmost first
	Upper, Work string   // both empty if it is read-only
	Mode        uint32   // of the top of the tree
	// ReadOnly, NoSuid, NoDev, NoExec and NoAtime are attributes of the mount.
	ReadOnly, NoSuid, NoDev, NoExec, NoAtime bool
	Options                                  []string // of the overlay: KEY=VALUE
}

// Errors of [Plan].
var (
	ErrOwnLayer = errors.New("the mutable directory is the hierarchy itself, which cannot be a layer of its own")
	ErrReadOnly = errors.New("the mutable directory is on a read-only file system")
	ErrWorkDir  = errors.New("the directory above the mutable directory, where the overlay's work directory belongs, is on another file system")
	ErrMode     = errors.New("the mutable directory must have the permissions of the hierarchy")
	ErrTooMany  = errors.New("too many layers")
)

// MaxLayers is how many layers the kernel takes below the topmost (OVL_MAX_STACK).
const MaxLayers = 500

// Plan returns the layers of a hierarchy, nil if it is to be left as it is. From the top: metadata, what is imported, extensions, and
// what was there. The errors are wrapped in one that names the hierarchy.
func Plan(r Request) (*Stack, error) {
	if len(r.Extensions) == 0 && r.Mutable.Off() {
		return nil, nil
	}
	s, err := plan(r)
	if err != nil {
		return nil, fmt.Errorf("cannot merge into %s: %w", r.Hierarchy, err)
	}
	return s, nil
}

func plan(r Request) (*Stack, error) {
	s := &Stack{Lower: []string{r.Meta}, Mode: 0o755, NoDev: true}
	if r.Host != nil {
		s.Mode = r.Host.Mode
	}
	imported := r.Import
	if r.Mutable == MutableImport {
		imported = r.Upper
	}
	if imported != nil {
		if same(r.Host, imported) {
			return nil, fmt.Errorf("%s: %w", imported.Path, ErrOwnLayer)
		}
		s.Lower = append(s.Lower, imported.Path)
	}
	s.Lower = append(s.Lower, r.Extensions...)
	if r.Host != nil && !r.Host.Empty && (r.Mutable == MutableImport || !same(r.Host, r.Upper)) {
		s.Lower = append(s.Lower, r.Host.Path)
	}
	if n := len(s.Lower); n > MaxLayers {
		return nil, fmt.Errorf("%d layers, the kernel takes %d: %w", n, MaxLayers, ErrTooMany)
	}
	if r.Mutable != MutableImport && r.Upper != nil {
		if err := s.setUpper(r); err != nil {
			return nil, err
		}
	}
	if len(r.Extensions) == 0 && imported == nil && s.Upper == "" {
		return nil, nil // it could have been mutable, but nothing is there for that
	}
	s.ReadOnly = s.Upper == ""
	if r.Class == Confext {
		s.NoSuid, s.NoExec = true, true
	}
	if r.NoExec != nil {
		s.NoExec = *r.NoExec
	}
	s.setOptions(r.Options)
	return s, nil
}

// setUpper puts a writable layer on top.
func (s *Stack) setUpper(r Request) error {
	u := r.Upper
	switch {
	case u.ReadOnly:
		return fmt.Errorf("%s: %w", u.Path, ErrReadOnly)
	case !u.Parent:
		return fmt.Errorf("%s: %w", u.Path, ErrWorkDir)
	}
	s.Upper, s.Work = u.Path, path.Join(path.Dir(u.Path), ".systemd-"+Component(r.Hierarchy)+"-workdir")
	return nil
}

// CheckMode holds the permissions of a mutable directory, which the merged hierarchy will have, against those of the hierarchy. The error
// wraps [ErrMode].
func CheckMode(hierarchy string, upper *Tree, mode uint32) error {
	if upper == nil || upper.Mode == mode {
		return nil
	}
	return fmt.Errorf("cannot merge into %s: %s has permissions %04o, %s has %04o: %w", hierarchy, upper.Path, upper.Mode, hierarchy, mode, ErrMode)
}

// same reports whether two directories are one.
func same(a, b *Tree) bool { return a != nil && b != nil && a.Node == b.Node }

// setOptions sets the overlay's options: those that were asked for, else those that keep a writable one from copying more than it must
// and from leaving halves of files behind.
func (s *Stack) setOptions(asked string) {
	options := splitOptions(asked)
	if asked == "" && s.Upper != "" {
		options = []string{"redirect_dir=on", "noatime", "metacopy=off", "index=off"}
	}
	for _, o := range options {
		if o == "noatime" {
			s.NoAtime = true
			continue
		}
		s.Options = append(s.Options, o)
	}
}
