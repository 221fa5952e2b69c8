// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/linux/tpm"
	"github.com/initddi/initddi/internal/tpm2"
)

const (
	// appearLimit is how long a TPM may take to appear behind its driver. Most need less than a second, with a self-test two.
	appearLimit = 10 * time.Second
	// appearQuiet is for how long no driver may have been at the TPM's device before none is expected to take it.
	appearQuiet = 2 * time.Second
	// openLimit is how long opening may take: that, and the first question.
	openLimit = appearLimit + tpm.Timeout
)

// errUndriven says that a driver is missing, or did not get along with the TPM.
var errUndriven = errors.New("the firmware names a TPM 2.0 (acpi:MSFT0101:), but no driver offers it")

// start begins to open the TPM and to ask it for its banks, if nobody did.
func (m *measurer) start() {
	m.once.Do(func() {
		m.begun = time.Now()
		go func() {
			d, banks, err := m.ask()
			m.settle(d, banks, err)
		}()
	})
}

// open waits until the TPM is open, which it begins if that was not done. The error is [ErrNoTPM] where there is none to open, and wraps
// [tpm.ErrTimeout] if it was not done in time: a driver that the kernel does not finish with holds up nobody. Then it is not tried again.
func (m *measurer) open() error {
	m.start()
	slow := time.NewTimer(slowModule)
	defer slow.Stop()
	limit := time.NewTimer(time.Until(m.begun.Add(m.limit)))
	defer limit.Stop()
	for {
		select {
		case <-m.ended:
			return m.err
		case <-slow.C:
			m.console.Warn("still at %s: the boot waits for the TPM", m.at())
		case <-limit.C:
			m.settle(nil, nil, fmt.Errorf("cannot open the TPM: %w in %s, still at %s; switch the machine off and on, and clear the TPM if that does not help", tpm.ErrTimeout, m.limit, m.at()))
		}
	}
}

// settle ends the opening with what came of it, unless it has ended: what comes later is closed.
func (m *measurer) settle(d tpmDevice, banks []tpm2.Bank, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.ended:
		if d != nil {
			d.Close()
		}
		return
	default:
	}
	m.device, m.banks, m.err = d, banks, err
	close(m.ended)
}

// close closes the TPM. It is not to be opened any more either, and nobody waits until it is.
func (m *measurer) close() {
	m.once.Do(func() {})
	m.settle(nil, nil, fs.ErrClosed)
	if m.device != nil {
		m.device.Close()
	}
}

// note remembers what opening is at.
func (m *measurer) note(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doing = fmt.Sprintf(format, args...)
}

func (m *measurer) at() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.doing
}

// ask opens the TPM and asks it for its banks.
func (m *measurer) ask() (_ tpmDevice, banks []tpm2.Bank, err error) {
	defer process.Guard(&err)
	m.note("opening the TPM")
	d, err := m.find()
	if err != nil {
		return nil, nil, err
	}
	m.note("asking %s for its banks", d.Path())
	if banks, err = (tpm2.GetCapabilityPCRs{}).Execute(d); err != nil {
		d.Close()
		return nil, nil, err
	}
	return d, banks, nil
}

// find opens the TPM's device. If there is none yet, but something that wants to be one, its driver is loaded: not when the device
// is seen, as for disks, because most boots find the driver built into the kernel or have no use for it.
func (m *measurer) find() (*tpm.Device, error) {
	d, err := tpm.Open(m.world.Sys, m.dev)
	switch {
	case errors.Is(err, tpm.ErrUnready):
		return m.await(err)
	case !missing(err):
		return d, err
	case !hasTPM(m.world.Sys):
		return nil, noTPM(err)
	}
	loaded, err := m.loadDriver()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUndriven, err)
	}
	if !loaded {
		return nil, errUndriven
	}
	return m.await(errUndriven)
}

// missing reports whether err says that no driver offers a TPM 2.0.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, tpm2.ErrTPM12) }

// noTPM is [ErrNoTPM] for a machine of which that is known, with what it has instead.
func noTPM(err error) error {
	if errors.Is(err, tpm2.ErrTPM12) {
		return fmt.Errorf("%w 2.0: %w", ErrNoTPM, err)
	}
	return ErrNoTPM
}

// await opens the TPM when it appears: its driver probes it in the background, so that this waits for no disk that another driver probes
// there. It returns otherwise if the TPM has not appeared in time, or nothing is to be expected any more.
func (m *measurer) await(otherwise error) (*tpm.Device, error) {
	const look = 20 * time.Millisecond
	m.note("waiting for the TPM's driver")
	wanted := describedTPMs(m.world.Sys, "acpi", "platform")
	begun := time.Now()
	for moved := begun; time.Since(begun) < appearLimit && time.Since(moved) < appearQuiet; {
		d, err := tpm.Open(m.world.Sys, m.dev)
		if err == nil || !missing(err) && !errors.Is(err, tpm.ErrUnready) {
			return d, err
		}
		if errors.Is(err, tpm2.ErrTPM12) && !hasTPM(m.world.Sys) {
			return nil, noTPM(err)
		}
		// The kernel gives a device its driver before it asks that to probe it, and takes it away if nothing comes of it.
		if slices.ContainsFunc(wanted, func(path string) bool {
			_, err := m.world.Sys.Lstat(path + "/driver")
			return err == nil
		}) {
			moved = time.Now()
		}
		select {
		case <-m.ended: // nobody waits any more
			return nil, fs.ErrClosed
		case <-time.After(look):
		}
	}
	return nil, otherwise
}

// tpmID is what a device's modalias has in it that is a TPM 2.0: the PC Client Platform Firmware Profile's ACPI device.
const tpmID = ":MSFT0101:"

func isTPM(modalias string) bool { return strings.Contains(modalias, tpmID) }

// describedTPMs returns the paths below /sys of the devices on some buses that the firmware describes as TPMs 2.0.
func describedTPMs(sys *os.Root, buses ...string) []string {
	var out []string
	for _, bus := range buses {
		out = append(out, drivers.Find(sys, bus, isTPM)...)
	}
	return out
}

// hasTPM reports whether the firmware describes a TPM 2.0 that is switched on, and that no driver has found to be a TPM 1.2: there are
// chips that can be either. A TPM 2.0 is a device of ACPI's.
func hasTPM(sys *os.Root) bool {
	n := 0
	for _, path := range describedTPMs(sys, "acpi") {
		// ACPI's _STA: zero is a device that was described and is not there.
		if b, err := sys.ReadFile(path + "/status"); err != nil || strings.TrimSpace(string(b)) != "0" {
			n++
		}
	}
	for _, c := range tpm.Chips(sys) {
		if b, err := sys.ReadFile(fmt.Sprintf("class/tpm/tpm%d/device/modalias", c.Index)); err == nil && !c.V2 && isTPM(string(b)) {
			n--
		}
	}
	return n > 0
}

// loadDriver loads what drives a TPM 2.0, and reports whether there is anything for it.
func (m *measurer) loadDriver() (loaded bool, err error) {
	table, err := m.world.Modules()
	if err != nil {
		return false, err
	}
	modules, err := table.Plan("", table.Match("acpi"+tpmID)...)
	if err != nil || len(modules) == 0 {
		return false, err
	}
	dir, err := m.world.Root.OpenRoot("lib/modules/" + table.Release)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	params := drivers.ReadParameters(m.world.Proc)
	for _, mod := range modules {
		m.note("loading module %s", mod.Name)
		if err := m.load(dir, mod, params); err != nil {
			return false, err
		}
	}
	return true, nil
}
