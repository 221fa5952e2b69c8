// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Init is process 1 of a machine that is to be captured: it loads the drivers that the devices ask for, waits until no more
// appear, writes what "initddi capture" would to the console, in base64, and powers off.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/capture"
	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/handoff"
	"github.com/initddi/initddi/internal/linux/module"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/modtable"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Println("init:", err)
	}
	fmt.Println("init:", process.Reboot(process.PowerOff))
	select {}
}

// quiet is how long nothing new may have appeared; emulated machines are slow.
const quiet = 8 * time.Second

func run(console io.Writer) error {
	if err := handoff.Pseudo(); err != nil {
		return err
	}
	if err := loadDrivers(); err != nil {
		return err
	}
	if err := mountEFIVars(); err != nil {
		fmt.Fprintln(console, "init:", err)
	}
	var archive bytes.Buffer
	w, err := gzip.NewWriterLevel(&archive, gzip.BestCompression)
	if err != nil {
		return err
	}
	lines, err := capture.Record(w, capture.Options{Root: "/"})
	if err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	for _, l := range lines {
		fmt.Fprintf(console, "%s: %s\n", l.Verdict, l.What)
	}
	text := base64.StdEncoding.EncodeToString(archive.Bytes())
	fmt.Fprintln(console, "== begin")
	for len(text) > 0 {
		n := min(76, len(text))
		fmt.Fprintln(console, text[:n])
		text = text[n:]
	}
	_, err = fmt.Fprintln(console, "== end")
	return err
}

// loadDrivers loads what devices ask for until nothing new has appeared for a while.
func loadDrivers() error {
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
	sys, err := os.OpenRoot("/sys")
	if err != nil {
		return err
	}
	l := drivers.New(table, "", func(m modtable.Module) error { return module.LoadFrom(root, m.File, "") },
		func(m modtable.Module, err error) {
			if err != nil {
				fmt.Println("init:", err)
			}
		})
	seen, since := "", time.Now()
	for time.Since(since) < quiet {
		aliases := drivers.Modaliases(sys)
		for _, a := range aliases {
			l.Offer(a)
		}
		if now := strings.Join(append(aliases, drivers.List(sys, "class/block")...), "\n"); now != seen || l.Busy() {
			seen, since = now, time.Now()
		}
		time.Sleep(200 * time.Millisecond)
	}
	if _, ok := table.Feature("efivarfs"); ok {
		return l.WaitFeature("efivarfs")
	}
	return nil
}

func mountEFIVars() error {
	if _, err := os.Stat("/sys/firmware/efi"); err != nil {
		return nil
	}
	m, err := mount.New(mount.Request{Type: "efivarfs", Source: "efivarfs"})
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Attach("/sys/firmware/efi/efivars")
}
