// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package layers

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/osrelease"
)

// Scopes of a system, see [Host].
const (
	ScopeSystem = "system"
	ScopeInitrd = "initrd"
)

// Host is what a system says of itself that extensions are held against.
type Host struct {
	Release osrelease.Fields // os-release of the root
	Scope   string           // [ScopeInitrd] if the root has /etc/initrd-release, else [ScopeSystem]
	Arch    string           // in systemd's words, "x86-64"
}

// ErrNoID says that the os-release of a system does not say what it is: no extension can fit.
var ErrNoID = errors.New("the system's os-release has no ID")

// MismatchError says why an extension does not fit the system. That is no failure: the extension is left out.
type MismatchError struct {
	Key           string // field of extension-release that decided, empty if there is no such file
	Found, Wanted string
	Err           error // why extension-release could not be read, or nil
}

func (e *MismatchError) Error() string {
	if e.Key == "" {
		if e.Err != nil {
			return "does not say which system it is for: " + e.Err.Error()
		}
		return "does not say which system it is for"
	}
	found := e.Key + "=" + e.Found
	if e.Found == "" {
		found = "no " + e.Key
	}
	return fmt.Sprintf("is for another system: found %s, wanted %s", found, e.Wanted)
}

// Unwrap returns why extension-release could not be read.
func (e *MismatchError) Unwrap() error { return e.Err }

// Match holds an extension's extension-release against the system. It returns nil if the extension fits and a [*MismatchError]
// otherwise, and an error that wraps [ErrNoID] if the system does not say what it is.
//
// Scope and architecture are held against the system even where ID=_any says that it may be any; else ID must be the system's or one
// that is like it, and if both sides have a level these must be the same, and the versions if not.
func Match(c Class, host Host, release osrelease.Fields) error {
	id := host.Release.Get("ID")
	if id == "" {
		return ErrNoID
	}
	if len(release.Keys()) == 0 {
		return &MismatchError{}
	}
	scopes := []string{ScopeSystem, "portable"}
	if text, ok := release.Lookup(c.scopeKey()); ok {
		scopes = strings.Fields(text)
	}
	if !slices.Contains(scopes, host.Scope) {
		return &MismatchError{Key: c.scopeKey(), Found: release.Get(c.scopeKey()), Wanted: host.Scope}
	}
	if arch := release.Get("ARCHITECTURE"); arch != "" && arch != "_any" && arch != host.Arch {
		return &MismatchError{Key: "ARCHITECTURE", Found: arch, Wanted: host.Arch}
	}
	switch own := release.Get("ID"); {
	case own == "_any":
		return nil
	case own == "" || own != id && !slices.Contains(strings.Fields(host.Release.Get("ID_LIKE")), own):
		wanted := id
		if like := host.Release.Get("ID_LIKE"); like != "" {
			wanted += " or one of " + like
		}
		return &MismatchError{Key: "ID", Found: own, Wanted: wanted}
	}
	return matchVersion(c, host.Release, release)
}

// matchVersion compares levels where both sides have one, and else versions where the system has one: one that rolls has none.
func matchVersion(c Class, host, release osrelease.Fields) error {
	key := c.levelKey()
	if host.Get(key) == "" || release.Get(key) == "" {
		key = "VERSION_ID"
	}
	if wanted, found := host.Get(key), release.Get(key); wanted != "" && found != wanted {
		return &MismatchError{Key: key, Found: found, Wanted: wanted}
	}
	return nil
}

// Loose says whether a file in an extension's [Class.ReleaseDir] counts though it is called otherwise than the extension, which may
// have been renamed. file is its name, strict the value of its attribute user.extension-release.strict and ok whether it
// has one that can be read.
func Loose(extension, file, strict string, ok bool) bool {
	name, is := strings.CutPrefix(file, ReleasePrefix)
	if !is || !ValidName(name) {
		return false
	}
	if base, valid := unversioned(extension); !valid {
		return false
	} else if name == base {
		return true
	}
	is, err := ParseBool(strict)
	return ok && err == nil && !is
}

// unversioned cuts suffix, version and counters off a name.
func unversioned(name string) (string, bool) {
	for _, suffix := range [...]string{".sysext.raw", ".confext.raw", ".raw"} {
		if rest, ok := strings.CutSuffix(name, suffix); ok {
			name = rest
			break
		}
	}
	if i := strings.IndexAny(name, "_+"); i >= 0 {
		name = name[:i]
	}
	return name, ValidName(name)
}

// ErrBool says that a text is neither yes nor no.
var ErrBool = errors.New("neither yes nor no")

// ParseBool reads a truth value in any of systemd's spellings. The error wraps [ErrBool].
func ParseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "1", "yes", "y", "true", "t", "on":
		return true, nil
	case "0", "no", "n", "false", "f", "off":
		return false, nil
	}
	return false, fmt.Errorf("cannot use %q: %w", text, ErrBool)
}

// ReloadManager reports whether an extension wants the service manager to read its units again (EXTENSION_RELOAD_MANAGER=).
func ReloadManager(release osrelease.Fields) bool {
	is, err := ParseBool(release.Get("EXTENSION_RELOAD_MANAGER"))
	return err == nil && is
}
