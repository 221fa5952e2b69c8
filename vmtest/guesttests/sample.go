// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/image"
)

// sampleImage makes a small DDI that the tests in the machine find as os.raw. Nobody has signed it: whether it is acceptable
// is not what they ask.
func sampleImage(ctx context.Context, tmp string) ([]byte, error) {
	tree := filepath.Join(tmp, "tree")
	for _, dir := range []string{"dev", "proc", "sys", "run", "etc", "sbin", "usr/lib"} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			return nil, err
		}
	}
	// Not compressible, so that there are many blocks.
	blob := make([]byte, 2<<20)
	x := uint32(1)
	for i := range blob {
		x = x*1664525 + 1013904223
		blob[i] = byte(x >> 24)
	}
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{
		{"usr/lib/os-release", []byte("ID=sample\nIMAGE_VERSION=3\n"), 0o644},
		{"sbin/init", []byte("#!/bin/sh\n"), 0o755},
		{"usr/lib/blob", blob, 0o644},
	} {
		if err := os.WriteFile(filepath.Join(tree, f.name), f.data, f.mode); err != nil {
			return nil, err
		}
	}
	out := filepath.Join(tmp, "os.raw")
	if _, err := image.Build(ctx, image.Options{Source: tree, Output: out, Arch: gpt.X86_64}); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}
