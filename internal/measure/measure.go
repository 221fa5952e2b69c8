// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package measure says what stage 1 writes into the TPM's PCRs and into systemd's log of such writes.
//
// What is measured is a line of text, an [Event]. Its bytes, without a terminator, are hashed by the algorithm of each bank, and the
// PCR is extended by that. The PCRs are the ones that systemd gives to the same purposes (its TPM2_PCR_MEASUREMENTS.md):
//
//	11  kernel-boot     the UKI's sections, by systemd-stub; of stage 1 only ddi:shell
//	12  kernel-config   what the boot was told besides: command lines, credentials; initddi.conf
//	13  sysexts         what runs that is not in the UKI: the boot image and its extensions
//
// Lines begin with "ddi:", and no field has a colon in it, so that a line can be read in one way only. The package is pure: the
// host computes with it what the machine will have in its PCRs.
package measure

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/tpm2"
	"github.com/initddi/initddi/internal/version"
)

// PCRs, by systemd's names.
const (
	KernelBoot   = 11
	KernelConfig = 12
	SysExts      = 13
)

// Kind is what an image is for the machine that enters or merges it.
type Kind string

// The kinds of images.
const (
	OS      Kind = "os"
	Initrd  Kind = "initrd"
	SysExt  Kind = "sysext"
	ConfExt Kind = "confext"
	// Unmerged is an extension that was measured as one of these, and then could not be merged.
	Unmerged Kind = "unmerged"
)

// Event is one measurement.
type Event struct {
	PCR  int
	Text string // ASCII without control characters, quotes and backslashes
}

// Image is the measurement of a boot image or an extension: ddi:<kind>:<name>:<root hash>:<SHA-256 of the signer's certificate>.
// file is its path on the partition; signer is nil for an image that is acceptable because of its root hash alone.
func Image(kind Kind, file string, rootHash []byte, signer *[32]byte) Event {
	return Event{SysExts, line(string(kind), Name(file), rootHash, signer)}
}

// Config is the measurement of settings that stage 1 found beside the images and accepted: ddi:config:<name>:<SHA-256 of the
// content>:<SHA-256 of the signer's certificate>. signer is nil if they are not signed.
func Config(file string, content []byte, signer *[32]byte) Event {
	sum := sha256.Sum256(content)
	return Event{KernelConfig, line("config", escape(lower(path.Base(file))), sum[:], signer)}
}

// Shell are the measurements that come before a debug shell: whatever is sealed against one of these PCRs stays sealed in it, and
// after it.
func Shell() []Event {
	const text = "ddi:shell"
	return []Event{{KernelBoot, text}, {KernelConfig, text}, {SysExts, text}}
}

func line(kind, name string, hash []byte, signer *[32]byte) string {
	s := "ddi:" + kind + ":" + name + ":" + hex.EncodeToString(hash) + ":"
	if signer != nil {
		s += hex.EncodeToString(signer[:])
	}
	return s
}

// Name is what an image is called in its measurement: its file's name without ".raw", ".sysext" and ".confext", and without the
// counters of boot assessment, which change from boot to boot. Case does not count on FAT and is made lower.
func Name(file string) string {
	base := lower(path.Base(file))
	n, err := version.ParseName(base, ".raw")
	for _, suffix := range []string{".raw", ".sysext", ".confext"} {
		if s := strings.TrimSuffix(base, suffix); s != "" {
			base = s
		}
		if suffix == ".raw" && err == nil && n.TriesLeft >= 0 {
			base = base[:strings.LastIndexByte(base, '+')]
		}
	}
	return escape(base)
}

// lower makes ASCII letters small, and leaves bytes that are no text as they are.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c - 'A' + 'a'
		}
	}
	return string(b)
}

// escape writes what is not a plain ASCII character, and what has a meaning in the line or in JSON, as % and two hexadecimal digits.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`:%"\`, c) >= 0 {
			fmt.Fprintf(&b, "%%%02x", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Digests returns what the event's PCR is extended by, for every bank that has the PCR. The log shows only the digests of which
// Alg.Sum is known: for another algorithm it is the SHA-256, cut or filled with zeros to the right length, as Linux itself does
// (security/integrity/ima), so that no bank is left in which nothing was measured.
func (e Event) Digests(banks []tpm2.Bank) []tpm2.Digest {
	var out []tpm2.Digest
	for _, b := range banks {
		if !b.Has(e.PCR) || b.Alg.Size() == 0 {
			continue
		}
		sum := b.Alg.Sum([]byte(e.Text))
		if sum == nil {
			sum = make([]byte, b.Alg.Size())
			copy(sum, tpm2.SHA256.Sum([]byte(e.Text)))
		}
		out = append(out, tpm2.Digest{Alg: b.Alg, Bytes: sum})
	}
	return out
}

// Extend returns what a PCR holds after it was extended by a digest: TCG's Part 1, 17.2. A digest of an algorithm that is not
// known here gives nil.
func Extend(value []byte, d tpm2.Digest) []byte {
	return d.Alg.Sum(slices.Concat(value, d.Bytes))
}
