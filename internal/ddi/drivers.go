// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ddi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/modtable"
)

// moduleTable is where a stage 1 says which modules it carries.
const moduleTable = "/etc/initddi/modules"

// Drivers loads what mounting needs in a stage 1, where there is nobody whom the kernel could ask to. Everywhere else the
// kernel does ask, and a Drivers does nothing. It loads modules as a boot does where nothing is to wait: with what the command line says
// to them, and without waiting for devices.
type Drivers struct{ loader *drivers.Loader }

// StageDrivers returns the drivers of the stage 1 that this process runs in, if it runs in one.
func StageDrivers() (*Drivers, error) {
	b, err := os.ReadFile(moduleTable)
	if errors.Is(err, fs.ErrNotExist) {
		return &Drivers{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the module table: %w", err)
	}
	table, err := modtable.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", moduleTable, err)
	}
	proc, err := os.OpenRoot("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot read the kernel command line: %w", err)
	}
	params := drivers.ReadParameters(proc)
	proc.Close()
	cpu, _ := os.ReadFile("/sys/devices/system/cpu/modalias") // not every architecture has one
	load := func(m modtable.Module) error {
		dir, err := os.OpenRoot("/lib/modules/" + table.Release)
		if err != nil {
			return fmt.Errorf("cannot load module %s: %w", m.Name, err)
		}
		defer dir.Close()
		return drivers.Load(dir, m, params)
	}
	return &Drivers{drivers.New(table, strings.TrimSpace(string(cpu)), load, func(modtable.Module, error) {})}, nil
}

// Need waits until the features are there. One that the table does not know is taken for built into the kernel, as in a boot.
func (d *Drivers) Need(features ...string) error {
	if d == nil || d.loader == nil {
		return nil
	}
	for _, f := range features {
		if err := d.loader.WaitFeature(f); err != nil && !errors.Is(err, modtable.ErrUnknown) {
			return err
		}
	}
	return nil
}

// OfferAll begins to load a driver for every device that there is. It waits for none.
func (d *Drivers) OfferAll() error {
	if d == nil || d.loader == nil {
		return nil
	}
	sys, err := os.OpenRoot("/sys")
	if err != nil {
		return fmt.Errorf("cannot find devices without drivers: %w", err)
	}
	defer sys.Close()
	for _, alias := range drivers.Modaliases(sys) {
		d.loader.Offer(alias)
	}
	return nil
}
