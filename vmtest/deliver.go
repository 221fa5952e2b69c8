// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/vm"
)

// Delivered is an image, or some text, that the boot loader leaves in memory.
type Delivered struct {
	Image string `json:"image,omitempty"`
	Text  string `json:"text,omitempty"`
	// Path puts it into a second archive behind stage 1's own. Without one the image itself lies behind stage 1, or at an address.
	Path string `json:"path,omitempty"`
	// Address is where in physical memory, in MiB, the image lies; the command line says that the kernel leaves it alone.
	Address int64 `json:"address,omitempty"`
}

// deliver leaves in the machine's memory what the cell says, beside stage 1.
func (w *Workshop) deliver(ctx context.Context, c *Cell, config *vm.Config, tmp string) error {
	if len(c.Delivered) == 0 {
		return nil
	}
	var behind []byte
	for _, d := range c.Delivered {
		content, file := []byte(d.Text), ""
		if d.Image != "" {
			var err error
			if file, err = w.Image(ctx, d.Image); err != nil {
				return err
			}
			if content, err = os.ReadFile(file); err != nil {
				return err
			}
		}
		switch {
		case d.Address != 0:
			config.Extra = append(config.Extra, "-device", fmt.Sprintf("loader,file=%s,addr=%#x,force-raw=on", strings.ReplaceAll(file, ",", ",,"), d.Address<<20))
		case d.Path != "":
			archive, err := archiveOf(d.Path, content)
			if err != nil {
				return err
			}
			behind = append(behind, archive...)
		default:
			behind = append(behind, content...)
		}
	}
	if len(behind) == 0 {
		return nil
	}
	first, err := os.ReadFile(config.Initrd)
	if err != nil {
		return err
	}
	// Boot loaders put the next initrd at an address that 4 divides.
	first = append(first, make([]byte, -len(first)&3)...)
	config.Initrd = filepath.Join(tmp, "initrd")
	return os.WriteFile(config.Initrd, append(first, behind...), 0o644)
}

// archiveOf returns a cpio archive with one file and the directories that it lies in.
func archiveOf(path string, content []byte) ([]byte, error) {
	var b bytes.Buffer
	out := cpio.Newc.Writer(&b)
	path = strings.TrimPrefix(path, "/")
	for i, r := range path {
		if r != '/' {
			continue
		}
		if err := out.WriteRecord(cpio.Directory(path[:i], 0o755)); err != nil {
			return nil, fmt.Errorf("cannot write an archive: %w", err)
		}
	}
	if err := out.WriteRecord(cpio.StaticFile(path, string(content), 0o644)); err != nil {
		return nil, fmt.Errorf("cannot write an archive: %w", err)
	}
	if err := cpio.WriteTrailer(out); err != nil {
		return nil, fmt.Errorf("cannot write an archive: %w", err)
	}
	return b.Bytes(), nil
}
