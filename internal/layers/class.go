// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package layers decides what a merge of extensions consists of: which directory entries are extensions, which of them fit the
// system, which layers a hierarchy has and in which order, and what is said of it in the metadata directory.
//
// The rules are those of systemd-sysext(8) and systemd-confext(8), as of version 262; where 257 differs, docs/EXTENSIONS.md says so. Everything
// here is a pure function over values: package sysext looks at the system and changes it.
package layers

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Class is a kind of extension. The zero value is none.
type Class string

// The classes.
const (
	Sysext  Class = "sysext"  // extends /usr and /opt
	Confext Class = "confext" // extends /etc
)

// Plural is the name of the metadata file that lists what was merged.
func (c Class) Plural() string {
	if c == Confext {
		return "confexts"
	}
	return "extensions"
}

// MetaDir is the directory at the top of a merged hierarchy that says what it is.
func (c Class) MetaDir() string { return ".systemd-" + string(c) }

// Hierarchies are the directories that extensions of the class extend.
func (c Class) Hierarchies() []string {
	if c == Confext {
		return []string{"/etc"}
	}
	return []string{"/usr", "/opt"}
}

// ReleaseDir is where an extension says which system it is for.
func (c Class) ReleaseDir() string {
	if c == Confext {
		return "/etc/extension-release.d"
	}
	return "/usr/lib/extension-release.d"
}

// ReleasePrefix begins the name of the file in [Class.ReleaseDir]; the extension's name follows.
const ReleasePrefix = "extension-release."

// SearchPath returns the directories in which extensions lie, the one that decides about a name first. An initrd has more of them:
// what systemd-stub put there comes last.
func (c Class) SearchPath(initrd bool) []string {
	switch {
	case c == Confext && initrd:
		return []string{"/run/confexts", "/var/lib/confexts", "/usr/local/lib/confexts", "/.extra/confext", "/.extra/global_confext"}
	case c == Confext:
		return []string{"/run/confexts", "/var/lib/confexts", "/usr/local/lib/confexts", "/usr/lib/confexts"}
	case initrd:
		return []string{"/etc/extensions", "/run/extensions", "/var/lib/extensions", "/.extra/sysext", "/.extra/global_sysext"}
	}
	return []string{"/etc/extensions", "/run/extensions", "/var/lib/extensions"}
}

// Policy returns the image policy for an extension at a path of the root, in the grammar of systemd.image-policy(7). What lies
// below /.extra in an initrd came from the ESP, which anybody can write to.
func (c Class) Policy(where string, initrd bool) string {
	const open, strict = "verity+signed+encrypted+encryptedwithintegrity+unprotected+absent", "signed+absent"
	uses := open
	if initrd && Below(where, "/.extra") != "" {
		uses = strict
		known := false
		for _, dir := range c.SearchPath(true) {
			known = known || Below(where, dir) != ""
		}
		if !known {
			return "~"
		}
	}
	if c == Confext {
		return "root=" + uses
	}
	return "root=" + uses + ":usr=" + uses
}

// levelKey and scopeKey are fields of os-release and extension-release.
func (c Class) levelKey() string { return strings.ToUpper(string(c)) + "_LEVEL" }
func (c Class) scopeKey() string { return strings.ToUpper(string(c)) + "_SCOPE" }

// HierarchiesVariable is the variable of the environment that replaces [Class.Hierarchies]: paths with colons between them.
func (c Class) HierarchiesVariable() string {
	return "SYSTEMD_" + strings.ToUpper(string(c)) + "_HIERARCHIES"
}

// MutableVariable is the variable of the environment that replaces the default of --mutable=.
func (c Class) MutableVariable() string {
	return "SYSTEMD_" + strings.ToUpper(string(c)) + "_MUTABLE_MODE"
}

// MountOptionsVariable is the variable of the environment that replaces the overlay's options.
func (c Class) MountOptionsVariable() string {
	return "SYSTEMD_" + strings.ToUpper(string(c)) + "_OVERLAYFS_MOUNT_OPTIONS"
}

// ErrHierarchies says that a list of hierarchies cannot be used.
var ErrHierarchies = errors.New("not a list of absolute, normalized paths below the root")

// ParseHierarchies reads the value of [Class.HierarchiesVariable]. The error wraps [ErrHierarchies].
func ParseHierarchies(text string) ([]string, error) {
	list := strings.Split(text, ":")
	for _, h := range list {
		clean := path.Clean(h)
		// A slash too many at the end or in between is no matter, "." and ".." are.
		if !strings.HasPrefix(h, "/") || clean == "/" || len(strings.FieldsFunc(h, isSlash)) != len(strings.FieldsFunc(clean, isSlash)) {
			return nil, fmt.Errorf("cannot use %q in %q: %w", h, text, ErrHierarchies)
		}
	}
	return list, nil
}

func isSlash(r rune) bool { return r == '/' }

// Below returns the part of name behind the directory dir, which begins with a slash, and the empty string if name is not below dir.
func Below(name, dir string) string {
	rest, ok := strings.CutPrefix(name, strings.TrimRight(dir, "/"))
	if !ok || len(rest) < 2 || rest[0] != '/' {
		return ""
	}
	return rest
}

// Component is the name of a hierarchy as one element of a path: "usr" for /usr, "foo.bar" for /foo/bar.
func Component(hierarchy string) string {
	return strings.ReplaceAll(strings.Trim(hierarchy, "/"), "/", ".")
}
