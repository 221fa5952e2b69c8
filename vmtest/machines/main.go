// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Machines makes the captured machines that the tests of package capture look at: it boots each in QEMU, with Debian's kernel and
// an initramfs whose init loads the drivers and does what "initddi capture" does.
//
//	machines [--build DIR] [--output DIR] [--only NAME,...]
//
// The kernels are those that "just capture-fixtures" fetches. What it writes differs from kernel to kernel in details, so that
// whoever runs it looks at the differences of the golden files as well.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/kmodules"
	"github.com/initddi/initddi/internal/program"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "machines:", err)
		os.Exit(1)
	}
}

// limit ends a machine that does not end itself.
const limit = 3 * time.Minute

// studio makes what machines need, below tmp.
type studio struct{ build, tmp string }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("machines", flag.ContinueOnError)
	build := flags.String("build", "build", "where kernels and stub are: `DIR`")
	output := flags.String("output", "internal/capture/testdata/machines", "where the archives go: `DIR`")
	only := flags.String("only", "", "only the machines with these `NAMES`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "initddi-machines-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	s := &studio{build: *build, tmp: tmp}
	if *only == "" || *only == "tables" {
		if err := s.tables(filepath.Dir(*output)); err != nil {
			return err
		}
	}
	for _, m := range machines() {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), m.name) {
			continue
		}
		fmt.Fprintf(out, "%s: %s\n", m.name, m.doc)
		console, err := s.capture(ctx, &m)
		if err != nil {
			return fmt.Errorf("cannot capture %s: %w", m.name, err)
		}
		said, archive, err := parse(console)
		if err != nil {
			return fmt.Errorf("cannot capture %s: %w; its console:\n%s", m.name, err, console)
		}
		file := filepath.Join(*output, m.name+".tar.gz")
		if err := os.WriteFile(file, archive, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s%s: %d bytes\n", said, file, len(archive))
	}
	return nil
}

// tables writes the module tables that go with the machines: those of a stage 1 with every class that Debian's generic kernels have.
func (s *studio) tables(dir string) error {
	for goarch, kernel := range map[string]string{"amd64": "generic", "arm64": "arm64"} {
		tree, err := kmodules.Open(filepath.Join(s.build, "kernel-"+kernel, "root"), "")
		if err != nil {
			return err
		}
		selection, err := kmodules.Select(tree, kmodules.Options{OptionalClasses: kmodules.ClassNames(), Features: []string{"loop", "dm", "verity", "erofs"}})
		if err != nil {
			return err
		}
		var b bytes.Buffer
		w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := w.Write(selection.Table.Encode()); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "modules-"+goarch+".gz"), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// parse finds the archive on the console, and what the init said before.
func parse(console []byte) (said string, archive []byte, err error) {
	text := strings.ReplaceAll(string(console), "\r", "")
	before, rest, ok1 := strings.Cut(text, "== begin\n")
	body, _, ok2 := strings.Cut(rest, "== end")
	if !ok1 || !ok2 {
		return "", nil, errors.New("it wrote no archive")
	}
	for line := range strings.Lines(before) {
		for _, verdict := range []string{"recorded: ", "left out: ", "unread: "} {
			if strings.HasPrefix(line, verdict) {
				said += "  " + line
			}
		}
	}
	archive, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\n", ""))
	return said, archive, err
}

// capture boots a machine and returns its console.
func (s *studio) capture(ctx context.Context, m *machine) ([]byte, error) {
	kernel, err := s.kernel(m.kernel)
	if err != nil {
		return nil, err
	}
	initrd, err := s.initramfs(ctx, m)
	if err != nil {
		return nil, err
	}
	args, err := m.args(ctx, s, kernel, initrd)
	if err != nil {
		return nil, err
	}
	tool, err := program.Find(m.qemu, m.debian)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool, append([]string{"-no-reboot", "-accel", "tcg", "-nic", "none", "-nographic"}, args...)...)
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w; its console:\n%s", err, console.Bytes())
	}
	return console.Bytes(), nil
}

// kernel returns the image of a kernel that was fetched as build/kernel-NAME.
func (s *studio) kernel(name string) (string, error) {
	found, err := filepath.Glob(filepath.Join(s.build, "kernel-"+name, "root/boot/vmlinuz-*"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("there is no kernel %s: just capture-fixtures fetches it", name)
	}
	return found[0], nil
}

// initramfs makes the archive with the init and every driver that the kernel has of the classes.
func (s *studio) initramfs(ctx context.Context, m *machine) (string, error) {
	init := filepath.Join(s.tmp, "init-"+m.goarch)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", init, "./vmtest/machines/init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+m.goarch)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("cannot build the init: %w", err)
	}
	b, err := os.ReadFile(init)
	if err != nil {
		return "", err
	}
	var base bytes.Buffer
	w := cpio.Newc.Writer(&base)
	if err := cpio.WriteRecords(w, []cpio.Record{cpio.StaticFile("init", string(b), 0o755)}); err != nil {
		return "", err
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return "", err
	}
	o := initramfs.Options{Base: init + ".cpio"}
	if err := os.WriteFile(o.Base, base.Bytes(), 0o644); err != nil {
		return "", err
	}
	tree, err := kmodules.Open(filepath.Join(s.build, "kernel-"+m.kernel, "root"), "")
	if err != nil {
		return "", err
	}
	if o.Modules, err = kmodules.Select(tree, kmodules.Options{OptionalClasses: kmodules.ClassNames(), OptionalFeatures: []string{"efivarfs"}}); err != nil {
		return "", err
	}
	archive, err := initramfs.Build(ctx, o, nil)
	if err != nil {
		return "", err
	}
	out := filepath.Join(s.tmp, m.name+".initrd")
	return out, os.WriteFile(out, archive.Data, 0o644)
}
