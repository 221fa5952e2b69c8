// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Init is process 1 of the machine in which tests run as root: it loads every module it was given, runs the test programs one
// after the other, and powers off.
//
// Each program is /tests/NAME.test; its package's testdata lies beside it. The output goes to the second serial port, so that
// nothing of the kernel's comes in between, with a line before and after each program that the host looks for.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/handoff"
	"github.com/initddi/initddi/internal/linux/module"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/modtable"
)

const port = "/dev/ttyS1"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
	}
	fmt.Fprintln(os.Stderr, "init:", process.Reboot(process.PowerOff))
	select {}
}

func run() error {
	if err := handoff.Pseudo(); err != nil {
		return err
	}
	// Tests make files, and what is mounted there must not be the initramfs itself.
	if err := os.MkdirAll("/tmp", 0o1777); err != nil {
		return err
	}
	out, err := os.OpenFile(port, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := loadModules(); err != nil {
		fmt.Fprintf(out, "== error: %v\n", err)
		return err
	}
	programs, err := filepath.Glob("/tests/*.test")
	if err != nil {
		return err
	}
	for _, p := range programs {
		fmt.Fprintf(out, "== begin %s\n", name(p))
		result := "ok"
		if err := runTests(p, out); err != nil {
			result = err.Error()
		}
		fmt.Fprintf(out, "\n== end %s %s\n", name(p), result)
	}
	_, err = fmt.Fprintln(out, "== done")
	return err
}

func name(program string) string { return strings.TrimSuffix(filepath.Base(program), ".test") }

func runTests(program string, out io.Writer) error {
	cmd := exec.Command(program, "-test.v", "-test.run=^TestVM", "-test.timeout=120s")
	cmd.Env = []string{"PATH=/bin", "HOME=/", "TMPDIR=/tmp", "INITDDI_VM=1"}
	cmd.Dir = "/tests"
	cmd.Stdout, cmd.Stderr = out, out
	return cmd.Run()
}

// loadModules loads what the features of the table need. Modules that no feature needs are there for the tests.
func loadModules() error {
	b, err := os.ReadFile("/etc/initddi/modules")
	if err != nil {
		return err
	}
	table, err := modtable.Parse(b)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot("/lib/modules/" + table.Release)
	if err != nil {
		return err
	}
	l := drivers.New(table, "", func(m modtable.Module) error { return module.LoadFrom(root, m.File, "") }, func(modtable.Module, error) {})
	var errs []error
	for _, f := range table.Features {
		errs = append(errs, l.WaitFeature(f.Name))
	}
	return errors.Join(errs...)
}
