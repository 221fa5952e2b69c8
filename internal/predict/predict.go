// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package predict computes on the host what a machine will have in PCRs 11, 12 and 13 when the next init starts, from what it will
// boot: so that a secret can be sealed before, or a measurement judged afterwards.
//
// PCR 11 is systemd-stub's (src/boot/stub.c, measure_sections), as systemd-measure computes it too; 12 is the stub's, and stage 1's
// for settings; 13 is stage 1's. What the stub measures of files beside the UKI (credentials, addons, system extensions) is not
// predicted, but for command lines.
package predict

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"unicode/utf16"

	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/tpm2"
	"github.com/initddi/initddi/internal/uki"
)

// Banks are the algorithms that values are computed for.
func Banks() []tpm2.Alg { return []tpm2.Alg{tpm2.SHA1, tpm2.SHA256, tpm2.SHA384, tpm2.SHA512} }

// PCRs are those that are predicted.
func PCRs() []int { return []int{measure.KernelBoot, measure.KernelConfig, measure.SysExts} }

// Step is one extension of a PCR.
type Step struct {
	PCR  int
	What string // for people: the text that was measured, or what it is
	// Digests has one for each of Banks, in that order.
	Digests [][]byte
}

// step makes a step that measures some bytes.
func step(pcr int, what string, data []byte) Step {
	s := Step{PCR: pcr, What: what}
	for _, alg := range Banks() {
		s.Digests = append(s.Digests, alg.Sum(data))
	}
	return s
}

// Events are steps of stage 1.
func Events(events ...measure.Event) []Step {
	var out []Step
	for _, e := range events {
		out = append(out, step(e.PCR, e.Text, []byte(e.Text)))
	}
	return out
}

// Phases are the steps of systemd-pcrphase, which may come later: "enter-initrd", "sysinit", …
func Phases(words ...string) []Step {
	var out []Step
	for _, w := range words {
		out = append(out, step(measure.KernelBoot, w, []byte(w)))
	}
	return out
}

// CommandLine is the step of systemd-stub for a command line that came from outside of the UKI: one step for all addons' together,
// one for that of SMBIOS. It is measured in UTF-16 with its terminating NUL.
func CommandLine(text string) Step {
	var b []byte
	for _, u := range append(utf16.Encode([]rune(strings.TrimSpace(text))), 0) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return step(measure.KernelConfig, "command line "+text, b)
}

// sections are what systemd-stub measures of a UKI, in its order (src/fundamental/uki.c of 262; 257 lacks the last). .pcrsig is
// not measured: it is about the measurements.
func sections() []string {
	return []string{".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey", ".profile", ".dtbauto", ".hwids", ".efifw"}
}

// UKI returns the steps of systemd-stub for the UKI in file: for each section its name with a NUL, then what it has in memory.
func UKI(file string) ([]Step, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the UKI: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read the UKI: %w", err)
	}
	return image(f, info.Size(), file)
}

// image is the same for a UKI that need not be in a file; name is what errors call it.
func image(r io.ReaderAt, size int64, name string) ([]Step, error) {
	img, err := uki.Parse(r, size)
	if err != nil {
		return nil, fmt.Errorf("cannot read the UKI %s: %w", name, err)
	}
	if !img.IsUKI() {
		return nil, fmt.Errorf("cannot use %s: it has no section .linux: %w", name, uki.ErrNotPE)
	}
	var out []Step
	for _, section := range sections() {
		s := img.Section(section)
		if s == nil || s.VirtualSize == 0 {
			continue
		}
		content := Step{PCR: measure.KernelBoot, What: fmt.Sprintf("%s, %d bytes", section, s.VirtualSize)}
		if content.Digests, err = digests(s.Open(r), int64(s.VirtualSize)-s.Size); err != nil {
			return nil, fmt.Errorf("cannot read section %s of %s: %w", section, name, err)
		}
		out = append(out, step(measure.KernelBoot, section+" (the name)", append([]byte(section), 0)), content)
	}
	return out, nil
}

// digests hashes what r has, and so many zeros behind it.
func digests(r io.Reader, zeros int64) ([][]byte, error) {
	hashes := []hash.Hash{sha1.New(), sha256.New(), sha512.New384(), sha512.New()}
	var all []io.Writer
	for _, h := range hashes {
		all = append(all, h)
	}
	w := io.MultiWriter(all...)
	if _, err := io.Copy(w, r); err != nil {
		return nil, err
	}
	for block := make([]byte, 4096); zeros > 0; zeros -= int64(len(block)) {
		if _, err := w.Write(block[:min(zeros, int64(len(block)))]); err != nil {
			return nil, err
		}
	}
	var out [][]byte
	for _, h := range hashes {
		out = append(out, h.Sum(nil))
	}
	return out, nil
}

// Value returns what the steps make of a PCR of one of Banks that held zeros before.
func Value(steps []Step, pcr int, alg tpm2.Alg) []byte {
	value := make([]byte, alg.Size())
	for i, bank := range Banks() {
		if bank != alg {
			continue
		}
		for _, s := range steps {
			if s.PCR == pcr {
				value = measure.Extend(value, tpm2.Digest{Alg: alg, Bytes: s.Digests[i]})
			}
		}
	}
	return value
}
