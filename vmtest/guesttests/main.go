// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Guesttests runs the tests called TestVM… as root in a virtual machine: those that load modules and make devices.
//
//	guesttests [--debian DIR] [--work DIR] [--keep] [-v] [PACKAGE...]
//
// It compiles the tests of each package that has such, packs them with the kernel's modules and a small init into an
// initramfs, boots that, and prints a line for every test: PASS, FAIL with what the test said, SKIP with why. The last line
// counts. Kernel and modules are those of DIR (./just tree makes it).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/kmodules"
	"github.com/initddi/initddi/internal/vm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "guesttests:", err)
		os.Exit(1)
	}
}

// limit ends a machine that does not end itself.
const limit = 10 * time.Minute

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("guesttests", flag.ContinueOnError)
	debian := flags.String("debian", "build/debian", "kernel and modules: `DIR`")
	work := flags.String("work", "build/guesttests", "where archive and logs go: `DIR`")
	verbose := flags.Bool("v", false, "print everything the tests say")
	accel := flags.String("accel", "tcg", "tcg, or kvm where it works")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := os.MkdirAll(*work, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(*work, "tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	patterns := flags.Args()
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	packages, err := findPackages(ctx, patterns)
	if err != nil {
		return err
	}
	if len(packages) == 0 {
		return errors.New("cannot find a test called TestVM…")
	}
	archive, err := pack(ctx, tmp, *debian, packages)
	if err != nil {
		return err
	}
	report, console := filepath.Join(*work, "report"), filepath.Join(*work, "console")
	log, err := os.Create(console)
	if err != nil {
		return err
	}
	c := vm.Config{
		Accel: *accel, CPUs: 2, MemoryMiB: 1024, Report: report,
		Kernel: filepath.Join(*debian, "boot/vmlinuz"), Initrd: archive,
		Append: "console=ttyS0 panic=-1 cryptomgr.notests=1 quiet " + vm.Patience,
	}
	if err := os.RemoveAll(report); err != nil {
		return err
	}
	runErr := c.Run(ctx, log, limit)
	b, err := os.ReadFile(report)
	if err != nil {
		return errors.Join(runErr, err)
	}
	r := parse(string(b), packages)
	r.print(out, *verbose)
	if runErr != nil {
		return fmt.Errorf("%w; its console is in %s", runErr, console)
	}
	if r.failed > 0 {
		return fmt.Errorf("%d tests failed; the machine's console is in %s", r.failed, console)
	}
	return nil
}

// pkg is a package with tests for the machine.
type pkg struct {
	path string // "internal/linux/dm"
	dir  string
}

// name is what its program is called.
func (p pkg) name() string { return strings.ReplaceAll(p.path, "/", "-") }

// findPackages returns the packages that have a test called TestVM….
func findPackages(ctx context.Context, patterns []string) ([]pkg, error) {
	const format = `{{$d := .Dir}}{{.ImportPath}}{{"\t"}}{{$d}}{{range .TestGoFiles}}{{"\t"}}{{.}}{{end}}{{range .XTestGoFiles}}{{"\t"}}{{.}}{{end}}`
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-f", format}, patterns...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list packages: %w", err)
	}
	var list []pkg
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		p := pkg{path: strings.TrimPrefix(f[0], "github.com/initddi/initddi/"), dir: f[1]}
		for _, file := range f[2:] {
			b, err := os.ReadFile(filepath.Join(p.dir, file))
			if err != nil {
				return nil, err
			}
			if strings.Contains(string(b), "\nfunc TestVM") {
				list = append(list, p)
				break
			}
		}
	}
	return list, nil
}

// pack makes the initramfs.
func pack(ctx context.Context, tmp, debian string, packages []pkg) (string, error) {
	build := func(out string, args ...string) error {
		cmd := exec.CommandContext(ctx, "go", append(args[:len(args)-1:len(args)-1], "-o", out, args[len(args)-1])...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		return cmd.Run()
	}
	init := filepath.Join(tmp, "init")
	if err := build(init, "build", "./vmtest/guesttests/init"); err != nil {
		return "", fmt.Errorf("cannot build the init: %w", err)
	}
	o := initramfs.Options{Base: filepath.Join(tmp, "base.cpio"), Compression: initramfs.None}
	if err := writeBase(o.Base, init); err != nil {
		return "", err
	}
	for _, p := range packages {
		program := filepath.Join(tmp, p.name()+".test")
		if err := build(program, "test", "-c", "./"+p.path); err != nil {
			return "", fmt.Errorf("cannot build the tests of %s: %w", p.path, err)
		}
		b, err := os.ReadFile(program)
		if err != nil {
			return "", err
		}
		o.Files = append(o.Files, initramfs.File{Name: "tests/" + p.name() + ".test", Data: b, Mode: 0o755})
	}
	image, err := sampleImage(ctx, tmp)
	if err != nil {
		return "", err
	}
	o.Files = append(o.Files, initramfs.File{Name: "tests/os.raw", Data: image})
	extensions, err := sampleExtensions(ctx, tmp)
	if err != nil {
		return "", err
	}
	o.Files = append(o.Files, extensions...)
	tree, err := kmodules.Open(filepath.Join(debian, "modules"), "")
	if err != nil {
		return "", fmt.Errorf("%w; ./just tree makes them", err)
	}
	// dummy is for the test that loads a module.
	if o.Modules, err = kmodules.Select(tree, kmodules.Options{Features: []string{"loop", "dm", "verity", "erofs", "ext4", "overlay", "nbd"}, Modules: []string{"dummy"}}); err != nil {
		return "", err
	}
	archive, err := initramfs.Build(ctx, o, nil)
	if err != nil {
		return "", err
	}
	out := filepath.Join(tmp, "initramfs")
	return out, os.WriteFile(out, archive.Data, 0o644)
}

// writeBase writes an archive that has the init alone.
func writeBase(name, init string) error {
	b, err := os.ReadFile(init)
	if err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w := cpio.Newc.Writer(f)
	if err := cpio.WriteRecords(w, []cpio.Record{cpio.StaticFile("init", string(b), 0o755)}); err != nil {
		return err
	}
	return errors.Join(cpio.WriteTrailer(w), f.Close())
}
