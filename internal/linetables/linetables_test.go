// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package linetables

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// programs are those that were built, by architecture: it takes a while.
var programs = map[string]func() ([]byte, error){
	"amd64": sync.OnceValues(func() ([]byte, error) { return buildFor("amd64") }),
	"arm64": sync.OnceValues(func() ([]byte, error) { return buildFor("arm64") }),
}

// build returns the program of testdata/work.go.
func build(t *testing.T, goarch string) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("needs time for the go command, which -short does not give")
	}
	b, err := programs[goarch]()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(b)
}

// buildFor builds as gobusybox does: without inlining, too.
func buildFor(goarch string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "linetables-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "work")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-gcflags=all=-l", "-o", name, "testdata/work.go")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(name)
}

// TestRemove holds a program without lines against itself with them: it computes the same while its memory is collected and its stacks
// are moved, a stack trace has the same functions, and the line of each can be found with the other program.
func TestRemove(t *testing.T) {
	with := build(t, "amd64")
	without := slices.Clone(with)
	if err := Remove(without); err != nil {
		t.Fatal(err)
	}
	run := func(program []byte) (result, trace string) {
		t.Helper()
		name := filepath.Join(t.TempDir(), "work")
		if err := os.WriteFile(name, program, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(name)
		cmd.Env = []string{"GOGC=1", "GODEBUG=gcshrinkstackoff=0,clobberfree=1,invalidptr=1"}
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 {
			t.Fatalf("%v, it should have ended with a panic: %s%s", err, out.String(), errs.String())
		}
		return out.String(), errs.String()
	}
	result, trace := run(with)
	got, short := run(without)
	if got != result || !strings.Contains(result, "sum 4950") {
		t.Errorf("without lines: %q, with them %q", got, result)
	}
	if !strings.Contains(trace, "work.go:") || strings.Contains(short, ".go:") {
		t.Errorf("with lines:\n%s\nwithout:\n%s", trace, short)
	}
	// The offsets lead to the lines, whatever a log puts in front.
	for _, prefix := range []string{"", "[    1.234567] initddi: "} {
		log := func(text string) string {
			return prefix + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+prefix)
		}
		restored, err := Restore(with, log(short))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := addresses.ReplaceAllString(restored, "0x"), addresses.ReplaceAllString(log(trace), "0x"); got != want {
			t.Errorf("restored:\n%s\nwith lines:\n%s", got, want)
		}
	}
	if got, err := Restore(without, short); err != nil || got != short {
		t.Errorf("restored from a program without lines: %v\n%s", err, got)
	}
	if _, err := Restore([]byte("#!/bin/sh\n"), short); err == nil {
		t.Error("restored from a script")
	}
}

// addresses are others at each run, of which a trace has some among the arguments; so is the goroutine's number.
var addresses = regexp.MustCompile(`0x[0-9a-f]{6,}\??|goroutine [0-9]+ \[`)

// TestNeededStays looks at every function of programs for two architectures: what is not about lines is as it was, and nothing outside
// of the section changes.
func TestNeededStays(t *testing.T) {
	for _, goarch := range []string{"amd64", "arm64"} {
		with := build(t, goarch)
		without := slices.Clone(with)
		if err := Remove(without); err != nil {
			t.Fatal(err)
		}
		a, err1 := find(with)
		b, err2 := find(without)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		before, err1 := parse(a)
		after, err2 := parse(b)
		if err1 != nil || err2 != nil || len(before.funcs) < 1000 {
			t.Fatal(err1, err2, len(before.funcs))
		}
		for i := range before.funcs {
			if x, y := facts(before, i), facts(after, i); !slices.EqualFunc(x, y, bytes.Equal) {
				t.Fatalf("%s: function %d has % x, had % x", goarch, i, y, x)
			}
		}
		clear(a)
		clear(b)
		if !bytes.Equal(with, without) {
			t.Errorf("%s: the program is another", goarch)
		}
		if err := Remove(without); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: a program whose tables are empty: %v", goarch, err)
		}
	}
}

// facts returns what a function's struct says, with the tables instead of their places.
func facts(t *tables, i int) [][]byte {
	f := slices.Clone(t.funcs[i])
	var out [][]byte
	for _, p := range needed(f) {
		if at := binary.LittleEndian.Uint32(p); at == 0 {
			out = append(out, nil)
		} else {
			out = append(out, t.pcs[at:][:tableLen(t.pcs[at:])])
		}
		clear(p)
	}
	for _, at := range []int{funcFile, funcLine, funcUnit, funcStartLine} {
		clear(f[at : at+4])
	}
	return append(out, f)
}

// TestUnknown: a program that is not understood stays as it is.
func TestUnknown(t *testing.T) {
	program := build(t, "amd64")
	section, err := find(program)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(program, section[:headerSize])
	same := func(name, want string, changed []byte) {
		t.Helper()
		was := slices.Clone(changed)
		if err := Remove(changed); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), want) || !bytes.Equal(changed, was) {
			t.Errorf("%s: %v, changed: %v", name, err, !bytes.Equal(changed, was))
		}
	}
	at32 := func(offset int, value uint32) []byte {
		b := slices.Clone(program)
		binary.LittleEndian.PutUint32(b[at+offset:], value)
		return b
	}
	same("another Go", "go9.26", bytes.ReplaceAll(program, []byte(release+"."), []byte("go9.26.")))
	same("no program", "", []byte("#!/bin/sh\n"))
	same("no section", "no section", bytes.ReplaceAll(program, []byte(".gopclntab"), []byte(".gopclntax")))
	same("another magic", "it begins with", at32(0, magic-1))
	same("too many functions", "functions", at32(8, 1<<30))
	same("parts out of order", "parts at", at32(8+8*6, 10))
	functab := int(binary.LittleEndian.Uint64(section[8+8*7:]))
	same("a function outside", "the next one begins", at32(functab+8*3+4, 1<<30))
	same("a function at the wrong place", "next one begins", at32(functab+8*3+4, binary.LittleEndian.Uint32(section[functab+8*3+4:])+16))
	first := functab + int(binary.LittleEndian.Uint32(section[functab+4:]))
	same("a table outside", "no table", at32(first+funcStack, 1<<30))
	same("more tables", "function 0", at32(first+funcTables, 1<<31))
	// Whatever is in there, nothing is read outside of it.
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		b := slices.Clone(section)
		for range 1 + r.IntN(8) {
			b[[]int{r.IntN(headerSize), functab + r.IntN(len(b)-functab), r.IntN(len(b))}[r.IntN(3)]] = byte(r.Uint32())
		}
		if tables, err := parse(b[:len(b)-r.IntN(2)*r.IntN(len(b))]); err == nil {
			tables.write()
		}
	}
}
