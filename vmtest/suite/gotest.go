// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// event is a line of "go test -json" (cmd/internal/test2json).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// goTest runs "go test -json" and counts the top-level tests. Subtests count for their parent; a skipped subtest is listed.
func (s *suite) goTest(ctx context.Context, env []string, args ...string) error {
	cmd := command(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot run go test: %w", err)
	}
	s.count(out)
	// A failed test makes go test fail: that is counted already.
	if err := cmd.Wait(); err != nil && len(s.failed) == 0 {
		return fmt.Errorf("cannot run go test %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// count reads events until there are no more.
func (s *suite) count(r io.Reader) {
	output := map[string]*bytes.Buffer{}
	failedTest, ran := map[string]bool{}, map[string]bool{} // by package
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 4<<20)
	for sc.Scan() {
		var e event
		if json.Unmarshal(sc.Bytes(), &e) != nil {
			continue
		}
		pkg := strings.TrimPrefix(e.Package, "github.com/initddi/initddi/")
		name := strings.TrimSuffix(pkg+"."+e.Test, ".")
		ran[pkg] = ran[pkg] || e.Test != ""
		switch e.Action {
		case "output", "build-output":
			if output[name] == nil {
				output[name] = &bytes.Buffer{}
			}
			output[name].WriteString(e.Output)
		case "pass":
			switch {
			case e.Test == "" && ran[pkg]:
				fmt.Fprintf(s.out, "ok   %s: %.1f s\n", pkg, e.Elapsed)
			case e.Test == "":
			case !strings.Contains(e.Test, "/"):
				s.passed++
			}
		case "skip":
			// A package without tests is skipped as a whole, which says nothing.
			if e.Test != "" {
				s.skipped = append(s.skipped, name+": "+reason(output[name]))
			}
		case "fail":
			switch {
			case e.Test == "" && !failedTest[pkg]:
				s.fail(name, text(output[name]))
			case e.Test != "":
				failedTest[pkg] = true
				if !strings.Contains(e.Test, "/") {
					s.fail(name, text(output[name])+subtests(output, name))
				}
			}
		}
	}
}

func text(b *bytes.Buffer) string {
	if b == nil {
		return ""
	}
	return b.String()
}

// subtests returns the output of a failed test's subtests.
func subtests(output map[string]*bytes.Buffer, name string) string {
	var all strings.Builder
	for n, b := range output {
		if strings.HasPrefix(n, name+"/") && strings.Contains(b.String(), "--- FAIL") {
			all.WriteString(b.String())
		}
	}
	return all.String()
}

// reason finds what a test said when it skipped: the line before "--- SKIP", without the place in the source.
func reason(b *bytes.Buffer) string {
	for line := range strings.SplitSeq(text(b), "\n") {
		line = strings.TrimSpace(line)
		if _, msg, ok := strings.Cut(line, ".go:"); ok {
			if _, msg, ok = strings.Cut(msg, ": "); ok {
				return msg
			}
		}
	}
	return "no reason given"
}

// runUnits runs the packages' tests. What ./just demo has built is what they check real things with.
func runUnits(ctx context.Context, s *suite) error {
	demo, err := filepath.Abs("build/debian")
	if err != nil {
		return fmt.Errorf("cannot find the demonstration: %w", err)
	}
	env := []string{
		"INITDDI_TEST_STUB=" + demo + "/boot/linuxx64.efi.stub",
		"INITDDI_TEST_KERNEL_DIR=" + demo + "/modules",
	}
	generic := filepath.Join(filepath.Dir(demo), "kernel-generic")
	if _, err := os.Stat(filepath.Join(generic, "version")); err == nil {
		env = append(env, "INITDDI_TEST_GENERIC_DIR="+generic+"/root")
	}
	packages := []string{"./..."}
	switch {
	case s.group == "one":
		packages = []string{"./internal/...", "./cmds/...", "./vmtest"}
	case s.all:
		env = append(env, "INITDDI_TEST_KERNEL="+demo+"/boot/vmlinuz", "INITDDI_SLOW=1")
	}
	if err := s.goTest(ctx, env, append([]string{"-timeout", "20m"}, packages...)...); err != nil || s.group == "one" {
		return err
	}
	// Once more what differs in a stage 1 of the template minimal.
	return s.goTest(ctx, env, "-timeout", "20m", "-tags", "noservers,nomerge", "./internal/stage1", "./internal/resolve")
}

func runNamespace(ctx context.Context, s *suite) error {
	namespaces, err := filepath.Abs("scripts/in-namespaces") // go runs it in the directory of each package
	if err != nil {
		return err
	}
	return s.goTest(ctx, []string{"INITDDI_NS=1"}, "-count=1", "-run", "^TestNS", "-exec", "'"+namespaces+"'", "./internal/...", "./cmds/sysextmerge", "./vmtest/attack")
}

// target is a fuzz target of a package.
type target struct{ pkg, name string }

func fuzzTargets(ctx context.Context) ([]target, error) {
	cmd := command(ctx, "go", "test", "-json", "-list", "^Fuzz", "./...")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list the fuzz targets: %w", err)
	}
	var list []target
	for line := range bytes.Lines(out) {
		var e event
		if json.Unmarshal(line, &e) == nil && e.Action == "output" && strings.HasPrefix(e.Output, "Fuzz") {
			list = append(list, target{e.Package, strings.TrimSpace(e.Output)})
		}
	}
	return list, nil
}

// runFuzz gives each target its time, two at once. The minimizing of new inputs is limited: it can take all the time there is.
func runFuzz(ctx context.Context, s *suite) error {
	list, err := fuzzTargets(ctx)
	if err != nil {
		return err
	}
	work := make(chan target)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 2 {
		wg.Go(func() {
			for t := range work {
				cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", s.fuzzTime.String(), "-fuzzminimizetime", "20x", "-parallel", "1", t.pkg)
				out, err := cmd.CombinedOutput()
				name := "fuzz " + strings.TrimPrefix(t.pkg, "github.com/initddi/initddi/") + "." + t.name
				mu.Lock()
				if err != nil && !ranOut(out) {
					s.fail(name, string(out))
				} else {
					s.passed++
					fmt.Fprintf(s.out, "%s: %s\n", name, executions(out))
				}
				mu.Unlock()
			}
		})
	}
	for _, t := range list {
		work <- t
	}
	close(work)
	wg.Wait()
	return nil
}

// ranOut reports whether a fuzzer failed for no other reason than that its time was over: go test says so now and then when an input
// is being tried at that moment. A real failure leaves the input in a file and names it.
func ranOut(out []byte) bool {
	return bytes.Contains(out, []byte("    context deadline exceeded\n")) && !bytes.Contains(out, []byte("Failing input written"))
}

// executions returns the last count that the fuzzer printed.
func executions(out []byte) string {
	count := "no count"
	for line := range strings.SplitSeq(string(out), "\n") {
		if i := strings.Index(line, "execs: "); i >= 0 {
			count = line[i:]
		}
	}
	return count
}
