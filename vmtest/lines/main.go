// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Command lines puts file names and line numbers into stack traces of stage 1 that have none, from standard input to standard output.
// Its argument is an uncompressed archive that "initddi initramfs --lines" made from the same sources.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/linetables"
)

func main() {
	if err := run(os.Stdin, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lines:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: lines ARCHIVE <TRACE")
	}
	program, err := busybox(args[0])
	if err != nil {
		return err
	}
	trace, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	text, err := linetables.Restore(program, string(trace))
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, text)
	return err
}

// busybox returns the program in an archive.
func busybox(archive string) ([]byte, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(f))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", archive, err)
	}
	for _, r := range records {
		if r.Name == "bbin/bb" {
			return io.ReadAll(io.NewSectionReader(r.ReaderAt, 0, int64(r.FileSize)))
		}
	}
	return nil, fmt.Errorf("no bbin/bb in %s", archive)
}
