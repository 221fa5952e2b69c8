// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/initddi/initddi/internal/cmdline"
	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/linux/tpm"
	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/modtable"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/tpm2"
)

// ErrNoTPM says that the machine has no TPM 2.0, or that its firmware does not show it. A TPM 1.2 is none: nothing that measures here, from
// systemd-stub to the next init's systemd, speaks to one, so that nothing can be sealed against what they would have measured.
var ErrNoTPM = errors.New("there is no TPM")

// MeasureError says that something is not in the PCRs that must be there before the boot goes on.
type MeasureError struct {
	What string // what was about to be done
	Err  error
}

func (e *MeasureError) Error() string { return fmt.Sprintf("cannot %s: %v", e.What, e.Err) }

// Unwrap returns the cause.
func (e *MeasureError) Unwrap() error { return e.Err }

// tpmDevice is [tpm.Device], or a TPM that tests put into its place.
type tpmDevice interface {
	tpm2.Transport
	Close() error
}

// measurer writes into the machine's PCRs. It is told what, and judges nothing but whether it is done.
type measurer struct {
	world   *World
	console *report.Log
	dev     string
	log     string
	limit   time.Duration // of opening
	load    func(dir *os.Root, m modtable.Module, params []cmdline.Param) error

	once  sync.Once
	begun time.Time
	ended chan struct{} // closed when nothing more becomes of opening; then device, banks and err may be read

	mu     sync.Mutex
	doing  string // what opening is at
	device tpmDevice
	banks  []tpm2.Bank
	err    error

	done []report.Measured
}

func newMeasurer(w *World, log *report.Log) *measurer {
	return &measurer{world: w, console: log, dev: "/dev", log: measure.LogPath, limit: openLimit, load: drivers.Load, ended: make(chan struct{})}
}

// extend writes one event: first into the log, then into the PCR. A record of what the TPM refused is taken out again; where it is
// unknown what the TPM did, the log stays marked as incomplete. A log that cannot be written keeps nothing from being measured,
// because what is sealed is bound to the PCR and not to the log; the error comes all the same.
func (m *measurer) extend(e measure.Event) error {
	if err := m.open(); err != nil {
		return err
	}
	digests := e.Digests(m.banks)
	if len(digests) == 0 {
		return fmt.Errorf("no bank of the TPM has PCR %d: %w", e.PCR, errors.ErrUnsupported)
	}
	bootID, err := m.world.Proc.ReadFile("sys/kernel/random/boot_id")
	var log *tpm.Log
	if err == nil {
		log, err = tpm.OpenLog(m.log)
	}
	if err == nil {
		id := strings.ReplaceAll(strings.TrimSpace(string(bootID)), "-", "")
		if err = log.Append(e.Record(digests, id, process.Uptime())); err != nil {
			log = nil
		}
	}
	var said tpm2.RC
	terr := tpm2.PCRExtend{PCRHandle: e.PCR, Digests: digests}.Execute(m.device)
	switch {
	case log == nil:
	case terr == nil:
		err = log.Commit()
	case errors.As(terr, &said):
		err = log.Undo()
	default:
		log.Abandon()
	}
	if terr != nil {
		return errors.Join(terr, err)
	}
	done := report.Measured{PCR: e.PCR, Text: e.Text}
	for _, d := range digests {
		done.Banks = append(done.Banks, d.Alg.String())
	}
	m.done = append(m.done, done)
	return err
}

// shell measures a debug shell that is about to be opened. Without a TPM nothing is sealed, and there is nothing to do; with one
// that cannot be written to there is no shell, whatever ddi.measure= says: what the TPM may open for the system is not for whoever
// asked for a shell.
func (m *measurer) shell(log *report.Log) error {
	for _, e := range measure.Shell() {
		err := m.extend(e)
		if errors.Is(err, ErrNoTPM) {
			log.Debug("the debug shell is not measured: %v", err)
			return nil
		}
		if err != nil {
			return &MeasureError{What: fmt.Sprintf("open a debug shell without %s in PCR %d", e.Text, e.PCR), Err: err}
		}
	}
	log.Warn("ddi:shell is in PCRs 11, 12 and 13: what is sealed against one of them stays sealed until the next boot")
	return nil
}

// startMeasuring opens the TPM while the disk is spinning up.
func (b *boot) startMeasuring() {
	if b.plan.Measure != plan.MeasureNo {
		b.tpm.start()
	}
}

// measure writes what is about to be used into the PCRs. It returns an error, a [MeasureError], only if ddi.measure=require;
// otherwise it says what is missing.
func (b *boot) measure(e measure.Event) error {
	// Whatever comes of it: a shell may have been measured.
	defer func() { b.report.Measured = b.tpm.done }()
	if b.plan.Measure == plan.MeasureNo {
		return nil
	}
	end := b.report.Begin(process.Uptime, "measure")
	err := b.tpm.extend(e)
	if err == nil {
		b.done("measure", end(e.Text), "PCR %d: %s (%s)", e.PCR, e.Text, strings.Join(b.tpm.done[len(b.tpm.done)-1].Banks, ", "))
		return nil
	}
	end(err.Error())
	b.report.Unmeasured = err.Error()
	switch {
	case b.plan.Measure == plan.MeasureRequire:
		return &MeasureError{What: fmt.Sprintf("go on without %s in PCR %d (ddi.measure=require)", e.Text, e.PCR), Err: err}
	case errors.Is(err, ErrNoTPM):
		b.log.Debug("nothing is measured: %v", err)
	default:
		b.log.Warn("%s is not measured: %v; what is sealed against PCR %d will not open", e.Text, err, e.PCR)
	}
	return nil
}

// measureImage measures the image that is entered.
func (b *boot) measureImage(a *resolve.Action, img *resolve.Image) error {
	kind := measure.OS
	if img.Tree.Kind == plan.KindInitrd {
		kind = measure.Initrd
	}
	var signer *[32]byte
	if img.Authentic.Signer != nil {
		fp := img.Authentic.Signer.Fingerprint()
		signer = &fp
	}
	return b.measure(measure.Image(kind, a.FileName(), img.Authentic.RootHash, signer))
}
