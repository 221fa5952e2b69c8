// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/initddi/initddi/internal/capture"
)

func runCapture(_ context.Context, env environment, flags *flag.FlagSet, args []string) error {
	output := flags.String("output", "", "write the archive to `FILE`, compressed if its name ends in .gz")
	root := flags.String("root", "/", "record the machine below `DIR`: DIR/sys, DIR/proc, DIR/dev")
	names := flags.Bool("with-names", false, "record as well what names the machine: maker and model, the whole kernel command line, serial numbers of FAT file systems")
	asJSON := flags.Bool("json", false, "print JSON")
	if _, err := parse(flags, args, 0); err != nil {
		return err
	}
	if err := required(flags, "output"); err != nil {
		return err
	}
	var archive bytes.Buffer
	lines, err := record(&archive, strings.HasSuffix(*output, ".gz"), capture.Options{Root: *root, Names: *names})
	if err != nil {
		return err
	}
	if err := os.WriteFile(*output, archive.Bytes(), 0o644); err != nil {
		return fmt.Errorf("cannot write the archive: %w", err)
	}
	if *asJSON {
		return printJSON(env.Stdout, map[string]any{"output": *output, "size": archive.Len(), "lines": lines})
	}
	for _, l := range lines {
		fmt.Fprintf(env.Stdout, "%-8s  %s\n", l.Verdict, l.What)
	}
	fmt.Fprintf(env.Stdout, "%s: %d bytes\n", *output, archive.Len())
	return nil
}

// record records a machine, compressed if that is wanted.
func record(out io.Writer, compressed bool, o capture.Options) ([]capture.Line, error) {
	if !compressed {
		return capture.Record(out, o)
	}
	w, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	lines, err := capture.Record(w, o)
	if err != nil {
		return nil, err
	}
	return lines, w.Close()
}
