// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package discover

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/signature"
)

// maxSidecar bounds the files with root hash and signature; a signature has two kilobytes, more with a chain of certificates.
const maxSidecar = 64 << 10

// Sidecars is where the files beside an image are: a directory on the ESP, or any other.
type Sidecars interface {
	// Read returns the content of a file of at most limit bytes. The error wraps [fs.ErrNotExist] if there is none.
	Read(name string, limit int64) ([]byte, error)
	// Size returns a file's size in bytes, with the same error.
	Size(name string) (int64, error)
}

// ReadSidecar reads an open file for [Sidecars]: all of it, or an error if it has more than limit bytes.
func ReadSidecar(f io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("more than %d bytes: %w", limit, fs.ErrInvalid)
	}
	return b, err
}

// SidecarSize returns the size in bytes for [Sidecars]; what is no file has none.
func SidecarSize(info fs.FileInfo) (int64, error) {
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("not a file: %w", fs.ErrInvalid)
	}
	return info.Size(), nil
}

// ReadBeside reads what lies beside the image called name: for NAME.raw NAME.roothash with NAME.roothash.p7s, else NAME.usrhash with
// NAME.usrhash.p7s, and NAME.verity, whose content is not looked at. Nothing at all is no error.
func ReadBeside(dir Sidecars, name string) (resolve.Beside, error) {
	var b resolve.Beside
	stem := name
	if len(name) > 4 && strings.EqualFold(name[len(name)-4:], ".raw") {
		stem = name[:len(name)-4]
	}
	for _, kind := range [...]struct {
		d   gpt.Designator
		ext string
	}{{gpt.Root, ".roothash"}, {gpt.Usr, ".usrhash"}} {
		text, err := optional(dir, stem+kind.ext)
		if err != nil {
			return b, err
		}
		if text != nil {
			if b.RootHash, err = signature.ParseRootHash(text); err != nil {
				return b, fmt.Errorf("cannot use %s: %w", stem+kind.ext, err)
			}
			b.Files = append(b.Files, stem+kind.ext)
		}
		if b.Signature, err = optional(dir, stem+kind.ext+".p7s"); err != nil {
			return b, err
		}
		if b.Signature != nil {
			b.Files = append(b.Files, stem+kind.ext+".p7s")
		}
		if b.RootHash != nil || b.Signature != nil {
			b.Designator = kind.d
			break
		}
	}
	size, err := dir.Size(stem + ".verity")
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, fmt.Errorf("cannot use %s.verity: %w", stem, err)
	}
	b.Tree = size
	b.Files = append(b.Files, stem+".verity")
	return b, nil
}

// Complete says what the files beside an image mean for what was found in it: an image without a partition table, of which
// tableErr says so, is a bare file system if its hash tree lies beside it, and then nothing is wrong with it; one that has
// partitions has its hash tree among them. wrong is what is wrong with the image, err with what lies beside it.
func Complete(table *gpt.Table, tableErr error, b resolve.Beside) (wrong, err error) {
	switch {
	case b.Tree == 0:
		return tableErr, nil
	case table != nil:
		return nil, fmt.Errorf("there is a hash tree beside an image that has partitions: %w", fs.ErrInvalid)
	case errors.Is(tableErr, gpt.ErrNoTable):
		return nil, nil
	}
	return tableErr, nil
}

func optional(dir Sidecars, name string) ([]byte, error) {
	b, err := dir.Read(name, maxSidecar)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use %s: %w", name, err)
	}
	if b == nil {
		b = []byte{} // an empty file is there
	}
	return b, nil
}
