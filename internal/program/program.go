// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package program finds the host's programs that others of these packages run, and says of one that is missing where it comes from.
package program

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// ErrMissing says that a program is not installed; the text around it names the Debian package.
var ErrMissing = errors.New("program not installed")

// Find returns the path of a program, which may be in /usr/sbin as well: Debian keeps some there, and not everybody's PATH leads to it. The
// error wraps [ErrMissing] and names the Debian package that has the program.
func Find(name, debian string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil && !strings.Contains(name, "/") {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		return "", fmt.Errorf("cannot run %s: %w: it is in the Debian package %s", name, ErrMissing, debian)
	}
	return path, nil
}
