// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"errors"
	"io/fs"
	"os"

	"github.com/initddi/initddi/internal/attempt"
	"github.com/initddi/initddi/internal/efivar"
	"github.com/initddi/initddi/internal/linux/efivarfs"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
)

// recordName is the record's file in efivarfs.
func recordName() string { return efivar.FileName(attempt.Variable, attempt.Vendor()) }

// Record reads what became of earlier boots. A machine without EFI variables, or without that one, knows nothing. With an error the record
// is empty: what cannot be read must not keep a machine from booting.
func (w *World) Record() (attempt.Record, error) {
	dir, err := w.efivars()
	if dir == nil {
		return attempt.Record{}, err
	}
	defer dir.Close()
	b, err := efivarfs.Read(dir, recordName(), 4+attempt.MaxSize)
	if b == nil {
		return attempt.Record{}, err
	}
	_, data, err := efivar.Decode(b)
	if err != nil {
		return attempt.Record{}, err
	}
	return attempt.Parse(data)
}

// setRecord writes the record. Without efivarfs there is nowhere to, which is no error.
func (w *World) setRecord(r attempt.Record) error {
	dir, err := w.efivars()
	if dir == nil {
		return err
	}
	defer dir.Close()
	return efivarfs.Write(dir, recordName(), efivar.Encode(efivar.NonVolatile|efivar.BootServiceAccess|efivar.RuntimeAccess, r.Encode()))
}

// efivars opens efivarfs, nil where there is none.
func (w *World) efivars() (*os.Root, error) {
	dir, err := w.Sys.OpenRoot("firmware/efi/efivars")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return dir, err
}

// readRecord puts what became of earlier boots among the facts, and says so if the last one went wrong.
func (b *boot) readRecord() {
	var err error
	if b.facts.Record, err = b.world.Record(); err != nil {
		b.log.Warn("cannot use the record of earlier boots: %v", err)
	}
	if b.report.LastFailure = resolve.LastFailure(b.plan, &b.facts); b.report.LastFailure != "" {
		b.log.Warn("the boot before this one %s", b.report.LastFailure)
	}
}

// noteEntry records that the image is about to be entered. What is not taken back ("initddi bless") counts against it at the next boot.
func (b *boot) noteEntry(a *resolve.Authentic) {
	next := b.facts.Record.Entered(a.RootHash)
	if b.plan.Attempts == 0 {
		next = b.facts.Record.Through() // mostly what is there already, and not written
	}
	if err := b.world.setRecord(next); err != nil {
		b.log.Warn("%v: nothing sends this image behind the others if it does not come up", err)
	}
}

// noteFailure records why this boot entered nothing, and returns how many in a row that makes, 0 if it cannot be recorded.
func noteFailure(w *World, log *report.Log, cause error) uint16 {
	if _, err := w.Sys.Stat("firmware/efi"); err != nil {
		return 0
	}
	// A boot that failed early has not mounted efivarfs yet.
	table, err := w.Modules()
	if err == nil {
		d := newDevices(w, table, log)
		err = d.mountEFIVars()
		d.close()
	}
	var r attempt.Record
	if err == nil {
		// A record that cannot be read is begun anew.
		r, _ = w.Record()
		r = r.Failed(cause.Error())
		err = w.setRecord(r)
	}
	if err != nil {
		log.Warn("%v: the next boot will not know of this failure", err)
		return 0
	}
	return r.Failures
}
