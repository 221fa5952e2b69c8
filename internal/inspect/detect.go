// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/initddi/initddi/internal/fsprobe"
	"github.com/initddi/initddi/internal/gpt"
)

// head is how much of a file is looked at to recognise it: a GPT for sectors of 4096 bytes begins at byte 4096.
const head = 8192

// detect says what the source is. [KindDisk] stands for everything with a partition table, [KindPE] for every PE image and
// [KindInitramfs] for every archive: what they are is seen on a closer look.
func (s source) detect() (Kind, error) {
	b := make([]byte, min(head, s.size))
	if _, err := s.r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("cannot read %s: %w", s.name, err)
	}
	at := func(off int, magic string) bool {
		return len(b) >= off+len(magic) && string(b[off:off+len(magic)]) == magic
	}
	text := bytes.TrimLeft(b, " \t\r\n")
	_, gptErr := gpt.Read(s.r, s.size, 0)
	switch {
	case gptErr == nil, errors.Is(gptErr, gpt.ErrCorrupt), errors.Is(gptErr, gpt.ErrAmbiguous):
		// A table that is there and damaged is described by what is wrong with it.
		return KindDisk, nil
	case at(0, "MZ"):
		return KindPE, nil
	case at(40, "_FVH"):
		return KindFirmware, nil
	case compressionOf(b) != "":
		return KindInitramfs, nil
	case bytes.HasPrefix(text, []byte("{")):
		return KindBootReport, nil
	case bytes.Contains(b, []byte("-----BEGIN CERTIFICATE-----")), at(0, "\x30\x82"):
		return KindCertificates, nil
	}
	if f, err := fsprobe.Probe(s.r, s.size); err == nil && f.Type == fsprobe.VFAT {
		return KindFAT, nil
	}
	return "", fmt.Errorf("cannot inspect %s: %w", s.name, ErrUnknown)
}
