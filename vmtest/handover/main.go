// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Handover boots one initrd twice, as an archive that the kernel unpacks and as an image that stage 1 enters, and compares what systemd found in both,
// in the initrd and in the system behind it.
//
// Whatever is different has to be explained in a table (explained.go), or the comparison fails: so a person can read there all that systemd could
// tell stage 1 by. docs/HANDOVER.md is the contract that this holds.
//
//	just handover             boot both and compare
//	just handover --keep      compare what the last run wrote
//	just handover --noise     compare two boots of the kernel's: what is different there is no difference
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/swtpm"
	"github.com/initddi/initddi/internal/terminal"
	"github.com/initddi/initddi/internal/vm"
	"github.com/initddi/initddi/vmtest/command"
)

func main() { command.Main("handover", run) }

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("handover", flag.ContinueOnError)
	build := flags.String("build", "build", "the `DIRECTORY` of the build")
	keep := flags.Bool("keep", false, "boot nothing: compare what the last run wrote")
	noise := flags.Bool("noise", false, "boot the kernel's twice, and compare those")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("cannot use %q: there are options only", flags.Arg(0))
	}
	dir := filepath.Join(*build, "handover")
	ways := []way{{"kernel", "kernel.img"}, {"stage1", "stage1.img"}}
	if *noise {
		ways = []way{{"kernel", "kernel.img"}, {"again", "kernel.img"}}
	}
	p := terminal.NewProgress(os.Stderr)
	var both [2]facts
	for i, w := range ways {
		if !*keep {
			p.Step("booting what the "+w.name+" starts", 0, 0)
			if err := w.boot(ctx, *build); err != nil {
				p.Done()
				return err
			}
		}
		text, err := os.ReadFile(w.report(*build))
		if err != nil {
			return fmt.Errorf("cannot compare: %w", err)
		}
		if both[i], err = parse(string(text)); err != nil {
			return fmt.Errorf("cannot compare %s (its console is %s): %w", w.report(*build), filepath.Join(dir, w.name+".log"), err)
		}
	}
	p.Done()
	result := compare(both[0], both[1])
	result.Demands = demand(both[1])
	if *noise {
		result.Demands = nil
	}
	if *asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		if err := e.Encode(result); err != nil {
			return err
		}
	} else {
		result.print(os.Stdout)
	}
	return result.verdict()
}

// way is one of the two machines.
type way struct{ name, disk string }

func (w way) report(build string) string { return filepath.Join(build, "handover", w.name+".report") }

// limit ends a machine that hangs; under emulation, and with firmware that reads 50 MB, a boot takes a minute and a half.
const limit = 10 * time.Minute

// machineID is what the machine's firmware says that it is.
const machineID = "6d616368696e654964206f66206f7572"

// boot runs a machine until it is off.
func (w way) boot(ctx context.Context, build string) error {
	dir := filepath.Join(build, "handover")
	tmp, err := os.MkdirTemp("", "initddi-handover-")
	if err != nil {
		return fmt.Errorf("cannot boot: %w", err)
	}
	defer os.RemoveAll(tmp)
	vars := filepath.Join(tmp, "vars.fd")
	if err := vm.VariableStore("/usr/share/OVMF/OVMF_VARS_4M.fd", vars, keys.In(filepath.Join(build, "keys"), keys.SecureBoot).Cert); err != nil {
		return err
	}
	tpm, err := swtpm.ForMachine(ctx, tmp)
	if err != nil {
		return err
	}
	defer tpm.Close()
	c := vm.Config{
		FirmwareCode: "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", FirmwareVars: vars, MemoryMiB: 2048, Report: filepath.Join(tmp, "report"), TPM: tpm.Socket,
		Credentials: map[string]string{"system.machine_id": machineID, "handover.smbios": "by SMBIOS"},
		Disks:       []vm.Disk{{Path: filepath.Join(dir, w.disk), Snapshot: true}, {Path: filepath.Join(dir, "trees/root.erofs"), Snapshot: true}},
		Extra:       []string{"-fw_cfg", "name=opt/io.systemd.credentials/handover.fwcfg,string=by fw_cfg"},
	}
	log, err := os.Create(filepath.Join(dir, w.name+".log"))
	if err != nil {
		return fmt.Errorf("cannot boot: %w", err)
	}
	if err := c.Run(ctx, log, limit); err != nil {
		return fmt.Errorf("cannot boot what the %s starts (the console is in %s): %w", w.name, log.Name(), err)
	}
	text, err := os.ReadFile(c.Report)
	if err != nil {
		return fmt.Errorf("cannot read the machine's report: %w", err)
	}
	if err := os.WriteFile(w.report(build), text, 0o644); err != nil {
		return fmt.Errorf("cannot keep the machine's report: %w", err)
	}
	return nil
}
