// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Initddi builds, signs, boots and inspects what stage 1 and the images around it are made of.
//
// Each verb does one step and can be used alone; "initddi VERB --help" tells about it. The same inputs give the same bytes
// wherever a signature algorithm allows it; SOURCE_DATE_EPOCH is the time in everything.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/initddi/initddi/internal/options"
	"github.com/initddi/initddi/internal/release"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, environment{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "initddi:", err)
		os.Exit(exitStatus(err))
	}
}

// exitStatus is the exit status: 2 for a command line that makes no sense, 1 for what failed.
func exitStatus(err error) int {
	if errors.Is(err, options.ErrSyntax) {
		return 2
	}
	return 1
}

// environment is what the verbs use of the process.
type environment struct {
	Stdin          *os.File
	Stdout, Stderr *os.File
}

// verb is one of the program's verbs.
type verb struct {
	name, args, short string
	run               func(ctx context.Context, env environment, flags *flag.FlagSet, args []string) error
}

func verbs() []verb {
	return []verb{
		{"keys", "DIR", "make development keys and certificates", runKeys},
		{"ddi", "--output FILE TREE", "make an image out of a directory or a tar archive", runDDI},
		{"combine", "--output FILE IMAGE IMAGE...", "put the partitions of several images into one, for several architectures", runCombine},
		{"join", "--signature FILE --cert FILE IMAGE", "put a signature that was made elsewhere into an image", runJoin},
		{"sign", "--key FILE --cert FILE SETTINGS", "sign an initddi.conf for the boot partition, or the SHA256SUMS of a web server's images", runSign},
		{"initramfs", "--output FILE", "make stage 1 for a kernel", runInitramfs},
		{"uki", "--output FILE", "join stub, kernel and stage 1, and sign them", runUKI},
		{"disk", "--output FILE", "make a disk with an EFI system partition", runDisk},
		{"boot", "DISK", "boot a disk in QEMU", runBoot},
		{"inspect", "FILE", "say what is in an image, a UKI or a stage 1", runInspect},
		{"status", "", "say how the running system was booted", runStatus},
		{"bless", "", "tell stage 1 that the running image came up well", runBless},
		{"measure", "", "predict what a boot writes into the TPM's PCRs", runMeasure},
		{"capture", "--output FILE", "record a machine as stage 1 sees it, for a bug report", runCapture},
		{"size", "--cloud TREE", "say what stage 1 consists of, and hold it against its budgets", runSize},
	}
}

func run(ctx context.Context, env environment, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "help":
		args = []string{args[1], "--help"}
	case len(args) == 0 || args[0] == "--help" || args[0] == "-h" || args[0] == "help":
		overview(env.Stdout)
		return nil
	case args[0] == "--version":
		_, err := fmt.Fprintln(env.Stdout, "initddi", release.Version)
		return err
	}
	for _, v := range verbs() {
		if v.name != args[0] {
			continue
		}
		flags := flag.NewFlagSet("initddi "+v.name, flag.ContinueOnError)
		flags.SetOutput(env.Stderr)
		flags.Usage = func() {
			fmt.Fprintf(flags.Output(), "usage: initddi %s [OPTION...] %s\n\n%s%s.\n\n", v.name, v.args, string(v.short[0]-'a'+'A'), v.short[1:])
			flags.PrintDefaults()
		}
		err := v.run(ctx, env, flags, args[1:])
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	return usage(fmt.Errorf("cannot find the verb %q; initddi help lists them", args[0]))
}

func overview(w io.Writer) {
	fmt.Fprintln(w, "usage: initddi VERB [OPTION...] [ARGUMENT...]\n\nBuild, sign, boot and inspect initddi's stage 1 and the images it boots.\n\nVerbs:")
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %-10s %s\n", v.name, v.short)
	}
	fmt.Fprintln(w, "\ninitddi VERB --help tells more; initddi --version says which this is.\n\nExit status: 0 all is well; 1 something failed; 2 the command line makes no sense.")
}
