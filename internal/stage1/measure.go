// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/linux/module"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/linux/tpm"
	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/tpm2"
)

// ErrNoTPM says that the machine has no TPM, or that its firmware does not show it.
var ErrNoTPM = errors.New("there is no TPM")

// errUndriven says that a driver is missing, or did not get along with the TPM.
var errUndriven = errors.New("the firmware names a TPM 2.0 (acpi:MSFT0101:), but no driver offers it")

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
	world *World
	dev   string
	log   string

	once   sync.Once
	device tpmDevice
	banks  []tpm2.Bank
	err    error

	done []report.Measured
}

func newMeasurer(w *World) *measurer {
	return &measurer{world: w, dev: "/dev", log: measure.LogPath}
}

// open opens the TPM and asks it for its banks, once. The error is [ErrNoTPM] itself where there is none to open.
func (m *measurer) open() error {
	m.once.Do(func() {
		defer process.Guard(&m.err)
		d, err := m.find()
		if err != nil {
			m.err = err
			return
		}
		m.device = d
		m.banks, m.err = tpm2.GetCapabilityPCRs{}.Execute(d)
	})
	return m.err
}

// find opens the TPM's device. If there is none yet, but something that wants to be one, its driver is loaded: not when the device
// is seen, as for disks, because most boots find the driver built into the kernel or have no use for it.
func (m *measurer) find() (*tpm.Device, error) {
	d, err := tpm.Open(m.dev)
	if !errors.Is(err, fs.ErrNotExist) {
		return d, err
	}
	if !hasTPM(m.world.Sys) {
		return nil, ErrNoTPM
	}
	if err := m.loadDriver(); err != nil {
		return nil, fmt.Errorf("%w: %w", errUndriven, err)
	}
	if d, err = tpm.Open(m.dev); errors.Is(err, fs.ErrNotExist) {
		return nil, errUndriven
	}
	return d, err
}

// tpmID is what a device's modalias has in it that is a TPM 2.0: the PC Client Platform Firmware Profile's ACPI device.
const tpmID = ":MSFT0101:"

func isTPM(modalias string) bool { return strings.Contains(modalias, tpmID) }

// hasTPM reports whether the firmware describes a TPM that is switched on. A TPM 2.0 is a device of ACPI's.
func hasTPM(sys *os.Root) bool {
	for _, path := range drivers.Find(sys, "acpi", isTPM) {
		// ACPI's _STA: zero is a device that was described and is not there.
		if b, err := sys.ReadFile(path + "/status"); err != nil || strings.TrimSpace(string(b)) != "0" {
			return true
		}
	}
	return false
}

func (m *measurer) loadDriver() error {
	table, err := m.world.Modules()
	if err != nil {
		return err
	}
	modules, err := table.Plan("", table.Match("acpi"+tpmID)...)
	if err != nil || len(modules) == 0 {
		return err
	}
	dir, err := m.world.Root.OpenRoot("lib/modules/" + table.Release)
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, mod := range modules {
		if err := module.LoadFrom(dir, mod.File, ""); err != nil {
			return err
		}
	}
	return nil
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

func (m *measurer) close() {
	// Not open, but no longer to be opened either; one that is being opened is waited for.
	m.once.Do(func() { m.err = fs.ErrClosed })
	if m.device != nil {
		m.device.Close()
	}
}

// startMeasuring opens the TPM while the disk is spinning up.
func (b *boot) startMeasuring() {
	if b.plan.Measure != plan.MeasureNo {
		go b.tpm.open()
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
