// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package image

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/initddi/initddi/internal/signature"
	"github.com/initddi/initddi/internal/verity"
)

// buildBare makes an image without a partition table out of the file system in data: NAME.raw, and beside it NAME.verity,
// NAME.roothash and NAME.roothash.p7s (NAME.usrhash and NAME.usrhash.p7s for a /usr). NAME.raw comes last: without it the others
// are nothing.
func buildBare(ctx context.Context, o Options, data, tmp string) (*Result, error) {
	in, err := os.Open(data)
	if err != nil {
		return nil, fmt.Errorf("cannot build %s: %w", o.Output, err)
	}
	defer in.Close()
	sb, size, err := superblock(o, in)
	if err != nil {
		return nil, err
	}
	treeFile := filepath.Join(tmp, "tree.verity")
	f, err := os.Create(treeFile)
	if err != nil {
		return nil, fmt.Errorf("cannot build %s: %w", o.Output, err)
	}
	defer f.Close()
	rootHash, err := verity.Build(in, f, sb, func(done, total int64) { o.Progress("hashing", done, total) })
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("cannot build %s: %w", o.Output, err)
	}
	stem := strings.TrimSuffix(o.Output, ".raw")
	ext := ".roothash"
	if o.Usr {
		ext = ".usrhash"
	}
	if o.Signer != nil {
		sig, err := o.Signer(ctx, signature.Content(rootHash))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(stem+ext+".p7s", sig, 0o644); err != nil {
			return nil, fmt.Errorf("cannot write the signature: %w", err)
		}
	}
	if err := os.WriteFile(stem+ext, []byte(hex.EncodeToString(rootHash)+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("cannot write the root hash: %w", err)
	}
	for _, file := range [...]struct{ from, to string }{{treeFile, stem + ".verity"}, {data, o.Output}} {
		if err := os.Rename(file.from, file.to); err != nil {
			return nil, fmt.Errorf("cannot build %s: %w", o.Output, err)
		}
	}
	return &Result{RootHash: hex.EncodeToString(rootHash), Size: size, Data: size, Hash: sb.HashTreeSize(), Signed: o.Signer != nil}, nil
}
