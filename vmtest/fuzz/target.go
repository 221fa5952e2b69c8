// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/initddi/initddi/"

// target is a fuzz target of a package.
type target struct{ pkg, name string }

func (t target) String() string { return strings.TrimPrefix(t.pkg, module) + "." + t.name }

// is reports whether an argument names the target.
func (t target) is(arg string) bool {
	switch arg {
	case "all":
		return true
	case "hostile":
		return slices.Contains(hostile(), t.String())
	}
	return strings.Contains(t.String(), arg)
}

// targets lists all fuzz targets.
func targets(ctx context.Context) ([]target, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-list", "^Fuzz", "./internal/...", "./cmds/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list the fuzz targets: %w", err)
	}
	var list []target
	for line := range bytes.Lines(out) {
		var e struct{ Action, Package, Output string }
		if json.Unmarshal(line, &e) == nil && e.Action == "output" && strings.HasPrefix(e.Output, "Fuzz") {
			list = append(list, target{e.Package, strings.TrimSpace(e.Output)})
		}
	}
	return list, nil
}

// sources hashes the sources of the target's package, and of those of this module that it imports.
func (t target) sources(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-f", `{{if .Module}}{{if .Module.Main}}{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}
{{end}}{{end}}{{end}}`, t.pkg)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cannot list the sources of %s: %w", t, err)
	}
	files := strings.Fields(string(out))
	slices.Sort(files)
	h := sha256.New()
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("cannot hash the sources of %s: %w", t, err)
		}
		h.Write(b)
	}
	const digits = 10
	return hex.EncodeToString(h.Sum(nil))[:digits], nil
}

var execs = regexp.MustCompile(`execs: (\d+)`)

// fuzz runs the target alone, for so long or so many executions, and returns how many there were. Minimizing is limited: it can take
// all the time there is.
func (t target) fuzz(ctx context.Context, fuzzTime string) (n int64, output string, err error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", fuzzTime, "-fuzzminimizetime", "20x", "-parallel", "1", t.pkg)
	out, err := cmd.CombinedOutput()
	if all := execs.FindAllSubmatch(out, -1); len(all) > 0 {
		n, _ = strconv.ParseInt(string(all[len(all)-1][1]), 10, 64) // digits alone
	}
	// The fuzzer says now and then that its time was over when an input was being tried. A real failure names the input.
	if err != nil && bytes.Contains(out, []byte("    context deadline exceeded\n")) && !bytes.Contains(out, []byte("Failing input written")) {
		err = nil
	}
	if err == nil && n == 0 {
		err = fmt.Errorf("cannot run %s: nothing was executed", t)
	}
	return n, string(out), err
}
