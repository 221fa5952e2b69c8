// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/swtpm"
	"github.com/initddi/initddi/internal/terminal"
	"github.com/initddi/initddi/internal/vm"
)

// bootLimit ends a machine that does not end itself; a boot under emulation takes half a minute.
const bootLimit = 6 * time.Minute

func runBoot(ctx context.Context, env environment, flags *flag.FlagSet, args []string) error {
	secureBoot := flags.String("secureboot-cert", "", "enrol the certificate in `FILE` (PEM) in the firmware and switch Secure Boot on")
	code := flags.String("firmware", "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "OVMF's code: `FILE`")
	vars := flags.String("firmware-vars", "/usr/share/OVMF/OVMF_VARS_4M.fd", "OVMF's empty variable store: `FILE`")
	c := vm.Config{Credentials: map[string]string{}}
	bus := flags.String("bus", "virtio", "what the disk hangs on: "+strings.Join(vm.Buses(), ", "))
	flags.StringVar(&c.Network, "network", "none", "none, or user: a virtio network card with DHCP, from which the guest reaches what this machine reaches")
	flags.IntVar(&c.MemoryMiB, "memory", 1024, "in MiB")
	flags.IntVar(&c.CPUs, "cpus", 1, "how many; QEMU 7.2 emulating two breaks one boot of twenty")
	flags.StringVar(&c.Accel, "accel", envOr("INITDDI_ACCEL", "tcg"), "tcg, or kvm where it works")
	tpmState := flags.String("tpm", "", "give the machine an emulated TPM (swtpm) that keeps its state in `DIR`, which is made if need be")
	headless := flags.Bool("headless", false, "run without a console until the booted system has reported and powered off (default where standard input is not a terminal)")
	log := flags.String("log", "", "write the console to `FILE` when headless")
	stage := flags.String("sizes", "", "show the sizes of these `FILES` in the table, a list")
	asJSON := flags.Bool("json", false, "print JSON when headless")
	rest, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	*headless = *headless || !isSet(flags, "headless") && !terminal.IsTerminal(env.Stdin)
	if err := checkDisk(rest[0], *bus); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "initddi-boot-")
	if err != nil {
		return fmt.Errorf("cannot boot: %w", err)
	}
	defer os.RemoveAll(tmp)
	c.FirmwareCode, c.FirmwareVars = *code, filepath.Join(tmp, "vars.fd")
	if err := vm.VariableStore(*vars, c.FirmwareVars, *secureBoot); err != nil {
		return err
	}
	if c.Accel != "kvm" {
		c.SMBIOS = []string{"io.systemd.stub.kernel-cmdline-extra=" + vm.Patience}
	}
	c.Disks = []vm.Disk{{Path: rest[0], Bus: *bus, Snapshot: true}}
	c.Report = filepath.Join(tmp, "report")
	if *tpmState != "" {
		if err := os.MkdirAll(*tpmState, 0o700); err != nil {
			return fmt.Errorf("cannot keep the TPM's state: %w", err)
		}
		t, err := swtpm.ForMachine(ctx, *tpmState)
		if err != nil {
			return err
		}
		defer t.Close()
		c.TPM = t.Socket
	}
	if !*headless {
		fmt.Fprintln(env.Stderr, "The console follows. Log in as root, without a password. To leave: power off, or press Ctrl-A, then X.")
		return c.Interactive(ctx)
	}
	c.Credentials["initddi.report"] = "poweroff"
	console, err := consoleLog(*log, tmp)
	if err != nil {
		return err
	}
	p := terminal.NewProgress(env.Stderr)
	p.Step("starting QEMU", 0, 0)
	w := &progressWriter{w: console, p: p}
	err = c.Run(ctx, w, bootLimit)
	p.Done()
	var r *bootReport
	if err == nil {
		r, err = readReport(c.Report)
	}
	if err != nil {
		tail(env.Stderr, console.Name())
		return err
	}
	r.addSizes(*stage)
	if *asJSON {
		if err := printJSON(env.Stdout, r); err != nil {
			return err
		}
	} else {
		r.print(env.Stdout)
	}
	return r.verdict()
}

// checkDisk finds, before a machine is made for it, a bus that there is not, and a file from which no firmware starts anything: it has neither a
// partition table nor the signature of a boot sector, as a disk with an MBR or a FAT alone has.
func checkDisk(name, bus string) error {
	if !slices.Contains(vm.Buses(), bus) {
		return usage(fmt.Errorf("cannot use --bus %s: it is one of %s", bus, strings.Join(vm.Buses(), ", ")))
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("cannot boot: %w", err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("cannot boot %s: %w", name, err)
	}
	if _, err := gpt.Read(f, size, 0); err == nil {
		return nil
	}
	var sector [512]byte
	if _, err := f.ReadAt(sector[:], 0); err == nil && sector[510] == 0x55 && sector[511] == 0xaa {
		return nil
	}
	return fmt.Errorf("cannot boot %s: it is not a disk: it has no partition table (\"initddi disk\" makes a disk, of a UKI too)", name)
}

func envOr(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}

func consoleLog(name, tmp string) (*os.File, error) {
	if name == "" {
		name = filepath.Join(tmp, "console")
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("cannot write the console's log: %w", err)
	}
	return f, nil
}

// progressWriter shows how long the machine runs.
type progressWriter struct {
	w io.WriteCloser
	p *terminal.Progress
}

func (w *progressWriter) Write(b []byte) (int, error) {
	w.p.Step("booting", 0, 0)
	return w.w.Write(b)
}

func (w *progressWriter) Close() error { return w.w.Close() }

// tail shows the end of the console after a boot that went wrong.
func tail(w io.Writer, name string) {
	b, err := os.ReadFile(name)
	if err != nil {
		return
	}
	lines := strings.Split(strings.ReplaceAll(string(b), "\r", ""), "\n")
	fmt.Fprintln(w, "the end of the console:")
	for _, l := range lines[max(0, len(lines)-40):] {
		fmt.Fprintln(w, "  "+l)
	}
}
