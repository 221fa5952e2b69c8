// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/report"
)

// bootReport is what the booted system told of itself.
type bootReport struct {
	Facts map[string]string `json:"facts"`
	Boot  report.Boot       `json:"boot"`
	Sizes map[string]int64  `json:"sizes,omitempty"`
	names []string
}

// readReport reads the "key=value" lines of the guest's second serial port.
func readReport(name string) (*bootReport, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the guest's report: %w", err)
	}
	r := &bootReport{Facts: map[string]string{}}
	for line := range strings.SplitSeq(string(b), "\n") {
		if k, v, ok := strings.Cut(strings.TrimRight(line, "\r"), "="); ok {
			r.Facts[k] = v
		}
	}
	if r.Facts["done"] != "1" {
		return nil, errors.New("cannot tell how the boot went: the system did not report that it reached multi-user.target")
	}
	if err := json.Unmarshal([]byte(r.Facts["boot-json"]), &r.Boot); err != nil || r.Boot.Chosen == nil {
		return nil, errors.Join(errors.New("cannot read stage 1's report, /run/initddi/boot.json of the guest"), err)
	}
	delete(r.Facts, "boot-json")
	return r, nil
}

func (r *bootReport) addSizes(files string) {
	if files == "" {
		return
	}
	r.Sizes = map[string]int64{}
	for _, f := range strings.Split(files, ",") {
		if info, err := os.Stat(f); err == nil {
			r.Sizes[filepath.Base(f)] = info.Size()
			r.names = append(r.names, filepath.Base(f))
		}
	}
}

func (r *bootReport) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "stage\tstart\ttook\twhat")
	for _, s := range r.Boot.Stages {
		fmt.Fprintf(t, "%s\t%.3f s\t%.1f ms\t%s\n", s.Name, float64(s.Start)/1e6, float64(s.Usec)/1e3, s.Text)
	}
	fmt.Fprintf(t, "multi-user.target\t%.3f s\t\t%s\n", r.multiUser(), r.Facts["state"])
	t.Flush()
	sectors, _ := strconv.ParseInt(r.Facts["sectors-read"], 10, 64)
	fmt.Fprintf(w, "read from disk: %.1f MB; memory available: %s kB\n", float64(sectors)*512/1e6, r.Facts["mem-available-kb"])
	for _, e := range r.Boot.Extensions {
		fmt.Fprintf(w, "merged: %s %s from %s, signed by %s\n", e.Class, ddi.Printable(e.Name), ddi.Printable(e.Path), ddi.Printable(e.Signer))
	}
	for _, e := range r.Boot.LeftOut {
		fmt.Fprintf(w, "left out: %s\n", ddi.Printable(e.Text))
	}
	for _, n := range r.names {
		fmt.Fprintf(w, "size of %s: %d bytes\n", n, r.Sizes[n])
	}
}

func (r *bootReport) multiUser() float64 {
	n, _ := strconv.ParseInt(r.Facts["multi-user-usec"], 10, 64)
	return float64(n) / 1e6
}

// verdict prints the line that says that all is well, or returns why it is not.
func (r *bootReport) verdict() error {
	var errs []error
	for _, want := range []struct{ key, value string }{{"state", "running"}, {"failed-units", "0"}, {"jobs", "0"}, {"trouble", "0"}, {"esp", "rw"}, {"esp-uuid-devices", "1"}, {"blessed", "good"}} {
		// Behind a colon there is more for people.
		if got, _, _ := strings.Cut(r.Facts[want.key], ":"); got != want.value {
			errs = append(errs, fmt.Errorf("the booted system says %s=%s, wanted %s (failed units: %s)", want.key, got, want.value, r.Facts["failed-names"]))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c := r.Boot.Chosen
	_, err := fmt.Printf("boot: ok image=%s roothash=%s multi-user=%.2fs failed-units=%s\n", path.Base(c.Path), c.RootHash, r.multiUser(), r.Facts["failed-units"])
	return err
}
