// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/initddi/initddi/internal/capture"
	"github.com/initddi/initddi/internal/kmodules"
)

// hostFlags are the options of "initddi initramfs" about the one machine that it is for.
type hostFlags struct {
	forHost      bool
	root, device string
}

func (h *hostFlags) define(flags *flag.FlagSet) {
	flags.BoolVar(&h.forHost, "for-host", false, "carry only what one machine needs to get at the disk with its boot partition, and say what was left out")
	flags.StringVar(&h.root, "root", "/", "with --for-host, the machine: this one, or one that initddi capture recorded, as `PLACE`: a directory or a tar archive")
	flags.StringVar(&h.device, "device", "", "with --for-host, the disk or the boot partition, as ddi.device= names it (default: what stage 1 would take)")
}

// config returns the configuration of the template to take if nobody says one.
func (h *hostFlags) config() string {
	if h.forHost {
		return "host"
	}
	return "minimal"
}

// find looks at the machine; there is none without --for-host.
func (h *hostFlags) find(ctx context.Context) (*kmodules.Host, error) {
	if !h.forHost {
		if h.root != "/" || h.device != "" {
			return nil, errors.New("cannot use --root or --device without --for-host")
		}
		return nil, nil
	}
	root, cleanup, err := capture.Open(ctx, h.root)
	if err != nil {
		return nil, err
	}
	defer cleanup()
	sys, err := os.OpenRoot(filepath.Join(root, "sys"))
	if err != nil {
		return nil, fmt.Errorf("cannot look at the machine: %w", err)
	}
	defer sys.Close()
	dev, err := os.OpenRoot(filepath.Join(root, "dev"))
	if err != nil {
		return nil, fmt.Errorf("cannot look at the machine: %w", err)
	}
	defer dev.Close()
	host, err := kmodules.FindHost(sys, dev, h.device)
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%w; run it as root, or name the disk: --device /dev/NAME", err)
	case errors.Is(err, kmodules.ErrNoBootDisk) && h.device == "":
		return nil, fmt.Errorf("%w; --device names it", err)
	}
	return host, err
}

// modules returns where the modules of the kernel are that runs on this machine. For another machine they have to be named.
func (h *hostFlags) modules() (string, error) {
	if h.root != "/" {
		return "", errors.New("cannot tell which kernel a captured machine shall boot: --modules names its modules")
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "", fmt.Errorf("cannot tell which kernel runs: %w", err)
	}
	return filepath.Join("/lib/modules", strings.TrimSpace(string(release))), nil
}

// printChoices says what one machine's stage 1 carries and what it does not.
func printChoices(out io.Writer, host *kmodules.Host, selection *kmodules.Selection) {
	var way, suppliers []string
	for _, d := range host.Way {
		if d.Supplier {
			suppliers = append(suppliers, d.String())
		} else {
			way = append(way, d.String())
		}
	}
	fmt.Fprintf(out, "for the machine whose /dev/%s hangs on %s\n", host.Node, strings.Join(way, ", "))
	if len(suppliers) > 0 {
		fmt.Fprintf(out, "which need %s\n", strings.Join(suppliers, ", "))
	}
	if selection == nil {
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range selection.Choices {
		verdict, why := "left out", c.Why
		if c.Carried {
			verdict = "carries"
		}
		if len(c.Modules) > 0 {
			why = strings.Join(c.Modules, " ") + ": " + why
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", verdict, c.Name, why)
	}
	w.Flush()
}

// describeClasses lists the classes for --help.
func describeClasses() string {
	var b strings.Builder
	for _, c := range kmodules.Classes() {
		fmt.Fprintf(&b, "  %-9s %s\n", c.Name, c.Description)
	}
	return b.String()
}
