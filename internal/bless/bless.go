// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package bless tells stage 1 that the image it entered came up well, and raises the rollback floor to its security level. It runs in the booted system: as "initddi bless", or as
// the small program initddi-bless that an image carries.
//
// Stage 1 says in /run/initddi/boot.json which image it entered; the record of attempts is an EFI variable (package attempt).
package bless

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strconv"

	"github.com/initddi/initddi/internal/attempt"
	"github.com/initddi/initddi/internal/efivar"
	"github.com/initddi/initddi/internal/floor"
	"github.com/initddi/initddi/internal/linux/efivarfs"
	"github.com/initddi/initddi/internal/options"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/tpm2"
)

var (
	// ErrNotBooted says that stage 1 has not booted this system: there is no boot.json.
	ErrNotBooted = errors.New("this system was not started by stage 1")
	// ErrReport says that boot.json is not what stage 1 writes.
	ErrReport = errors.New("not a report of stage 1")
)

// Where things are in a booted system.
const (
	reportPath = "/run/initddi/boot.json"
	efivars    = "/sys/firmware/efi/efivars"
	// maxReport bounds boot.json, which lists up to 65,536 extents.
	maxReport = 16 << 20
)

// System is the booted system.
type System struct {
	Report  string // boot.json
	EFIVars string // where efivarfs is mounted
	// OpenTPM opens the machine's TPM.
	OpenTPM func() (TPM, error)
}

// Running is the system that this program runs in.
func Running() System { return System{Report: reportPath, EFIVars: efivars, OpenTPM: openTPM} }

// Status is what is known of the image that runs.
type Status struct {
	Image    string `json:"image"` // its URL, its path, or the device that it is
	RootHash string `json:"roothash"`
	// Recorded is false where there are no EFI variables, or nothing was written into ours: there is nothing to bless then.
	Recorded bool `json:"recorded"`
	// Good says that the image has come up well at this boot, Attempts how often it was entered since it last did.
	Good        bool   `json:"good"`
	Attempts    int    `json:"attempts"`
	LastFailure string `json:"last_failure,omitempty"`
	// Floor is the rollback floor after it was raised, or what stage 1 found; 0 if there is none.
	Floor uint64 `json:"floor,omitempty"`
}

// String says it in a line.
func (s Status) String() string {
	what := fmt.Sprintf("%s (root hash %.16s…)", s.Image, s.RootHash)
	switch {
	case !s.Recorded:
		return "not recorded: " + what
	case s.Good && s.Floor > 0:
		return fmt.Sprintf("good: %s, rollback floor %d", what, s.Floor)
	case s.Good:
		return "good: " + what
	}
	return fmt.Sprintf("on trial: %s, entered %d times without coming up well", what, s.Attempts)
}

// Look returns what is known, without changing anything. It returns an error that wraps [ErrNotBooted] or [ErrReport].
func (s System) Look() (Status, error) {
	st, _, _, dir, err := s.look()
	if dir != nil {
		dir.Close()
	}
	return st, err
}

// Bless records that the running image came up well, and raises the rollback floor if stage 1 has one. Without EFI variables there is
// no record. The error wraps [ErrNotBooted] or [ErrReport], or says that the variable or the TPM's counter cannot be written.
func (s System) Bless() (Status, error) {
	st, chosen, record, dir, err := s.look()
	if dir != nil {
		defer dir.Close()
	}
	if err != nil {
		return st, err
	}
	if dir != nil {
		if st, err = s.bless(st, record, dir); err != nil {
			return st, err
		}
	}
	f, err := s.raise(chosen.rollback)
	if f != nil {
		st.Floor = f.Value
	}
	return st, err
}

// bless writes the record.
func (s System) bless(st Status, record attempt.Record, dir *os.Root) (Status, error) {
	hash, err := hex.DecodeString(st.RootHash)
	if err != nil || len(hash) < 32 {
		return st, fmt.Errorf("cannot bless %s: root hash %q: %w", st.Image, st.RootHash, ErrReport)
	}
	next := record.Blessed(hash)
	content := efivar.Encode(efivar.NonVolatile|efivar.BootServiceAccess|efivar.RuntimeAccess, next.Encode())
	if err := efivarfs.Write(dir, efivar.FileName(attempt.Variable, attempt.Vendor()), content); err != nil {
		return st, fmt.Errorf("cannot bless %s: %w", st.Image, err)
	}
	st.Recorded, st.Good, st.Attempts = true, true, 0
	return st, nil
}

// look reads the report and the record; dir is efivarfs, nil where there is none.
func (s System) look() (st Status, c *chosen, record attempt.Record, dir *os.Root, err error) {
	if c, err = s.chosen(); err != nil {
		return st, nil, record, nil, err
	}
	st.Image, st.RootHash, st.LastFailure = cmp.Or(c.URL, c.Path, c.Node), c.RootHash, c.lastFailure
	if c.rollback != nil {
		st.Floor = uint64(c.rollback.Floor)
	}
	dir, err = os.OpenRoot(s.EFIVars)
	if errors.Is(err, fs.ErrNotExist) {
		return st, c, record, nil, nil
	}
	if err != nil {
		return st, c, record, nil, fmt.Errorf("cannot open the EFI variables: %w", err)
	}
	b, err := efivarfs.Read(dir, efivar.FileName(attempt.Variable, attempt.Vendor()), 4+attempt.MaxSize)
	if err == nil && b != nil {
		if _, b, err = efivar.Decode(b); err == nil {
			record, err = attempt.Parse(b)
		}
	}
	if err != nil {
		// What cannot be read is begun anew.
		record = attempt.Record{}
	}
	if hash, err := hex.DecodeString(st.RootHash); err == nil {
		i := record.Look(hash)
		st.Recorded, st.Good, st.Attempts = i != attempt.Image{Hash: i.Hash}, i.Good && i.Tries == 0, int(i.Tries)
	}
	return st, c, record, dir, nil
}

type chosen struct {
	report.Chosen
	lastFailure string
	rollback    *report.Rollback
}

// ReadReport reads what stage 1 reported, and returns the text as well. Which version of the schema it has is for the caller to look at. It
// returns an error that wraps [ErrNotBooted] or [ErrReport].
func (s System) ReadReport() (*report.Boot, []byte, error) {
	f, err := os.Open(s.Report)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("cannot find %s: %w", s.Report, ErrNotBooted)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read stage 1's report: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxReport))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read stage 1's report: %w", err)
	}
	boot := &report.Boot{}
	if err := json.Unmarshal(text, boot); err != nil {
		return nil, nil, fmt.Errorf("cannot read %s: %w: %w", s.Report, ErrReport, err)
	}
	return boot, text, nil
}

// chosen reads what stage 1 entered.
func (s System) chosen() (*chosen, error) {
	boot, _, err := s.ReadReport()
	if err != nil {
		return nil, err
	}
	if boot.Version != report.Version || boot.Chosen == nil {
		return nil, fmt.Errorf("cannot use %s: version %d, chosen image: %t: %w", s.Report, boot.Version, boot.Chosen != nil, ErrReport)
	}
	return &chosen{*boot.Chosen, boot.LastFailure, boot.Rollback}, nil
}

// Command is the program, whichever of the two it is.
func Command(out io.Writer, flags *flag.FlagSet, args []string) error {
	status := flags.Bool("status", false, "say what is known of the running image, and change nothing")
	asJSON := flags.Bool("json", false, "print JSON")
	s := Running()
	var level uint64
	defines := false
	flags.Func("define", "define the counter of the rollback floor and raise it to `LEVEL`, and nothing else: for a machine that a stage 1 with rollback=required shall boot", func(text string) (err error) {
		defines = true
		if level, err = strconv.ParseUint(text, 0, 16); err != nil || level == 0 {
			return fmt.Errorf("a level is from 1 to %d", math.MaxUint16)
		}
		return nil
	})
	index := handle(floor.DefaultIndex)
	flags.Var(&index, "index", "the counter's NV index: a `HANDLE`, stage 1's rollback-index")
	flags.StringVar(&s.Report, "report", s.Report, "what stage 1 reported: `FILE`")
	flags.StringVar(&s.EFIVars, "efivars", s.EFIVars, "where the EFI variables are: `DIR`")
	if err := flags.Parse(args); err != nil {
		return options.Usage(err)
	}
	if flags.NArg() > 0 {
		return options.Usage(fmt.Errorf("cannot use the argument %q: there are options only", flags.Arg(0)))
	}
	if defines {
		return define(out, s, tpm2.Handle(index), level)
	}
	do := s.Bless
	if *status {
		do = s.Look
	}
	st, err := do()
	if err != nil {
		return err
	}
	if *asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(st)
	}
	fmt.Fprintln(out, st)
	return nil
}

// handle is an NV index on a command line.
type handle tpm2.Handle

func (h *handle) String() string { return fmt.Sprintf("%#08x", uint32(*h)) }

func (h *handle) Set(text string) error {
	n, err := strconv.ParseUint(text, 0, 32)
	if err != nil || n>>24 != 1 {
		return errors.New("an NV index is from 0x01000000 to 0x01ffffff")
	}
	*h = handle(n)
	return nil
}

func define(out io.Writer, s System, index tpm2.Handle, level uint64) error {
	f, err := s.DefineFloor(index, level)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "rollback floor %d in NV index %#x\n", f.Value, uint32(f.Index))
	return nil
}
