// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package report is what stage 1 leaves behind for people and programs: lines in the kernel's log, the screen after a failure,
// and /run/initddi/boot.json.
package report

import (
	"fmt"
	"os"
	"path"
	"time"

	"github.com/initddi/initddi/internal/jsontext"
)

// Version is the version of boot.json's schema. Fields are added without changing it; it changes when one changes its meaning.
const Version = 1

// Boot is the content of boot.json.
type Boot struct {
	Version int `json:"version"`
	// Release is stage 1's version, Kernel the running kernel's release.
	Release string `json:"release"`
	Kernel  string `json:"kernel"`
	// Firmware says what the boot loader left.
	BootPartition string `json:"boot_partition,omitempty"`
	UKI           string `json:"uki,omitempty"`
	SecureBoot    *bool  `json:"secure_boot,omitempty"`

	// LastFailure is what went wrong with the boot before this one, empty if nothing did.
	LastFailure string `json:"last_failure,omitempty"`

	Settings *Settings `json:"settings,omitempty"`

	Rollback *Rollback `json:"rollback,omitempty"`

	Network *Network `json:"network,omitempty"`

	Chosen  *Chosen `json:"chosen,omitempty"`
	Refused []Entry `json:"refused,omitempty"`
	// Extensions are what was merged into the image, the lowest layer of each class first, LeftOut what was not and why.
	Extensions []Extension `json:"extensions,omitempty"`
	LeftOut    []Entry     `json:"left_out,omitempty"`
	Stages     []Stage     `json:"stages"`
	// Measured is what was written into the TPM's PCRs, in this order; Unmeasured says why there is not more.
	Measured   []Measured `json:"measured,omitempty"`
	Unmeasured string     `json:"unmeasured,omitempty"`
	// Modules that were loaded, in the order in which they came in.
	Modules  []string `json:"modules,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// Chosen describes the image that is entered.
type Chosen struct {
	Source    string `json:"source"`        // "esp", "initrd", "pmem", "http", "nbd"
	Partition string `json:"partition"`     // PARTUUID of the boot partition, empty for another source
	Node      string `json:"node"`          // the device that holds the image, empty if there is none
	Path      string `json:"path"`          // on the partition or in the initramfs, or the name on a server
	URL       string `json:"url,omitempty"` // on a server
	// Paths are the names of the boot partition, one for each path to its disk, in the kernel's order; absent where there is one.
	Paths []string `json:"paths,omitempty"`
	// Received are the bytes that came over the network for it before it was entered, 0 if nobody counted.
	Received int64 `json:"received,omitempty"`
	// Extents are byte offset on the partition and length, in file order; null for another source.
	Extents [][2]int64 `json:"extents"`
	// Beside are the files beside the image that were used; the extents of its hash tree follow those of the image.
	Beside     []string `json:"beside,omitempty"`
	RootHash   string   `json:"roothash"`
	Signer     string   `json:"signer,omitempty"`
	SignerHash string   `json:"signer_sha256,omitempty"`
	Pinned     bool     `json:"pinned"`
	Kind       string   `json:"kind"`
	ID         string   `json:"id,omitempty"`
	ImageID    string   `json:"image_id,omitempty"`
	Version    string   `json:"image_version,omitempty"`
	FileSystem string   `json:"file_system"`
	Device     string   `json:"device"`
	Corruption string   `json:"corruption"`
	Copied     bool     `json:"copied"`
	Init       string   `json:"init"`
	Overlay    string   `json:"overlay"` // "no", "tmpfs"
}

// Extension describes an extension that was merged.
type Extension struct {
	Class  string `json:"class"`  // "sysext", "confext"
	Name   string `json:"name"`   // as systemd-sysext calls it
	Source string `json:"source"` // "esp", "initrd"
	Path   string `json:"path"`   // on the boot partition or in the initramfs
	// Place is where it is mounted for the next init to find, empty if it could not be.
	Place string `json:"place,omitempty"`
	// Extents are byte offset on the partition or in the file and length, in file order.
	Extents  [][2]int64 `json:"extents"`
	RootHash string     `json:"roothash"`
	Signer   string     `json:"signer"`
	Device   string     `json:"device"`
}

// Settings is the settings file of the boot partition.
type Settings struct {
	Path     string `json:"path"`
	Accepted bool   `json:"accepted"`
	Signer   string `json:"signer,omitempty"` // empty if nobody signed it
	Refusal  string `json:"refusal,omitempty"`
}

// Rollback is the floor below which no image is entered; absent where none was built in.
type Rollback struct {
	Mode  string `json:"mode"`  // "yes", "required"
	Index int64  `json:"index"` // NV index of the TPM
	State string `json:"state"` // "ready", "missing", "foreign", "unreachable"
	Floor int64  `json:"floor"` // what the counter says, 0 if it is not ready
	Level int64  `json:"level"` // INITDDI_SECURITY_LEVEL of the image that is entered
}

// Network is the network that was brought up; absent where none was needed.
type Network struct {
	Interface string `json:"interface"`
	How       string `json:"how"` // "static", "dhcp4", "dhcp6", "slaac"
}

// Entry is a candidate or an extension that was refused.
type Entry struct {
	Source    string `json:"source"`
	Candidate string `json:"candidate"`
	Rule      string `json:"rule"`
	Text      string `json:"text"`
}

// Measured is one line in a PCR, and the banks that it is in.
type Measured struct {
	PCR   int      `json:"pcr"`
	Text  string   `json:"string"`
	Banks []string `json:"banks"`
}

// Stage is one step with its times on CLOCK_BOOTTIME, in microseconds.
type Stage struct {
	Name  string `json:"name"`
	Start int64  `json:"start_us"`
	Usec  int64  `json:"us"`
	Text  string `json:"text,omitempty"`
}

// Clock returns the time since the kernel started.
type Clock func() time.Duration

// Begin starts a stage; the returned function ends it and returns its length.
func (b *Boot) Begin(now Clock, name string) func(text string) time.Duration {
	start := now()
	return func(text string) time.Duration {
		d := now() - start
		b.Stages = append(b.Stages, Stage{Name: name, Start: start.Microseconds(), Usec: d.Microseconds(), Text: text})
		return d
	}
}

// Write writes the report to the file called name, making its directory.
func (b *Boot) Write(name string) error {
	text, err := jsontext.Marshal(b, "  ")
	if err != nil {
		return fmt.Errorf("cannot write the boot report: %w", err)
	}
	if err := os.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("cannot write the boot report: %w", err)
	}
	if err := os.WriteFile(name, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("cannot write the boot report: %w", err)
	}
	return nil
}
