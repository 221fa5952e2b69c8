// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/initddi/initddi/internal/initramfs"
)

// defaultTemplate is where the source tree has its template.
const defaultTemplate = "templates/mkuimage.yaml"

// templateFile returns the template that is meant: the default one is that of the source tree in dir.
func templateFile(template, dir string) string {
	if template == defaultTemplate {
		return filepath.Join(dir, template)
	}
	return template
}

// sourceHint adds to an error about the place that stage 1 is built at where that should be.
func sourceHint(err error, flags *flag.FlagSet) error {
	if err == nil || errors.Is(err, flag.ErrHelp) || flags.Lookup("base").Value.String() != "" {
		return err
	}
	_, missing := os.Stat(templateFile(flags.Lookup("template").Value.String(), flags.Lookup("dir").Value.String()))
	if errors.Is(err, fs.ErrNotExist) && errors.Is(missing, fs.ErrNotExist) || errors.Is(err, initramfs.ErrNoModule) {
		return fmt.Errorf("%w; stage 1 is built by Go out of initddi's source tree: run this there, or say where it is (--dir)", err)
	}
	return err
}
