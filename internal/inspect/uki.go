// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package inspect

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/initddi/initddi/internal/uki"
)

// PE describes an EFI program, which is a UKI if it has a kernel in it.
type PE struct {
	*uki.Image
	// Initramfs describes the .initrd section, if there is one that can be read.
	Initramfs *Initramfs `json:"initramfs,omitempty"`
	// InitramfsKind says whether it is a stage 1.
	InitramfsKind Kind `json:"initramfs_kind,omitempty"`
	// Problem says why the .initrd section cannot be described.
	Problem string `json:"problem,omitempty"`
}

// ErrNoInitramfs says that the initramfs of a UKI is nothing that the kernel unpacks.
var ErrNoInitramfs = errors.New("the kernel unpacks none of it")

// CheckUKI returns what would be complained about when the UKI boots: sentences, none if all is well. The error is of a UKI that
// never boots: it wraps [ErrNoInitramfs], or is that of [uki.Parse].
func CheckUKI(ctx context.Context, image []byte) ([]string, error) {
	s := source{ctx: ctx, name: "the UKI", r: bytes.NewReader(image), size: int64(len(image)), o: Options{Progress: func(string, int64, int64) {}}}
	var rep Report
	if err := s.pe(&rep); err != nil {
		return nil, err
	}
	if rep.PE.Problem != "" {
		return nil, fmt.Errorf("cannot use the initramfs: %w: %s", ErrNoInitramfs, rep.PE.Problem)
	}
	if rep.PE.Initramfs == nil {
		return nil, nil
	}
	return rep.PE.Initramfs.Problems, nil
}

func (s source) pe(rep *Report) error {
	s.o.Progress("reading "+s.name, 0, 0)
	img, err := uki.Parse(s.r, s.size)
	if err != nil {
		return err
	}
	rep.PE = &PE{Image: img}
	if !img.IsUKI() {
		return nil
	}
	rep.Kind = KindUKI
	initrd := img.Section(".initrd")
	if initrd == nil {
		return nil
	}
	var inner Report
	if err := s.part(s.name+"'s .initrd", initrd.Open(s.r), initrd.Size).archives(&inner); err != nil {
		if s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		rep.PE.Problem = err.Error()
		return nil
	}
	rep.PE.Initramfs, rep.PE.InitramfsKind = inner.Initramfs, KindInitramfs
	if inner.Kind == KindStage1 {
		rep.PE.InitramfsKind = KindStage1
	}
	inner.Initramfs.check(inner.Kind, img.Cmdline)
	if inner.Kind == KindStage1 {
		if img.Uname != "" && inner.Initramfs.Kernel != "" && inner.Initramfs.Kernel != "none" && inner.Initramfs.Kernel != img.Uname {
			inner.Initramfs.addProblems([]string{"the modules are for kernel " + inner.Initramfs.Kernel + ", the UKI has " + img.Uname})
		}
	}
	return nil
}
