// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// closing is the last line of a runner that does its own counting.
var closing = regexp.MustCompile(`^\w+: (\d+) passed, (\d+) failed(?:, (\d+) skipped)?$`)

// runner runs a program that ends with a closing line, shows its output and adds its counts. Lines that begin with SKIP carry
// the reasons.
func (s *suite) runner(ctx context.Context, name string, args ...string) error {
	cmd := command(ctx, args[0], args[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot run the %s: %w", name, err)
	}
	found := false
	for sc := bufio.NewScanner(out); sc.Scan(); {
		line := sc.Text()
		fmt.Fprintln(s.out, line)
		if rest, ok := strings.CutPrefix(line, "SKIP "); ok {
			s.skipped = append(s.skipped, name+" "+rest)
		}
		if m := closing.FindStringSubmatch(line); m != nil {
			found = true
			passed, _ := strconv.Atoi(m[1])
			failed, _ := strconv.Atoi(m[2])
			s.passed += passed
			for range failed {
				s.failed = append(s.failed, name+" (see above)")
			}
		}
	}
	err = cmd.Wait()
	if !found {
		return fmt.Errorf("the %s ended without counting: %w", name, err)
	}
	if err != nil && len(s.failed) == 0 {
		return fmt.Errorf("the %s failed: %w", name, err)
	}
	return nil
}

func runVM(ctx context.Context, s *suite) error {
	return s.runner(ctx, "tests in a VM", "go", "run", "./vmtest/guesttests")
}

// runDifferential holds sysextmerge against systemd's own: all of the cases, or a tenth of them.
func runDifferential(ctx context.Context, s *suite) error {
	if s.group == "one" {
		return nil
	}
	const dir = "build/differential"
	// Root may have no Go and no business in the user's cache.
	for _, p := range []string{"./vmtest/differential", "./cmds/sysextmerge"} {
		cmd := command(ctx, "go", "build", "-o", dir+"/", p)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("cannot build %s: %w", p, err)
		}
	}
	cases := "60"
	if s.all {
		cases = "600"
	}
	return s.runner(ctx, "differential test", "scripts/as-root", dir+"/differential", "--program", dir+"/sysextmerge", "--cases", cases)
}

func runBoots(ctx context.Context, s *suite) error {
	if s.group == "one" {
		return s.oneBoot(ctx)
	}
	args := []string{"go", "run", "./vmtest/matrix"}
	if s.group != "all" {
		args = append(args, "--only", s.group)
	}
	return s.runner(ctx, "boots", args...)
}

// runTamper boots tampered disks. That the others are judged without a virtual machine is a test of package attack.
func runTamper(ctx context.Context, s *suite) error {
	if s.group == "one" {
		return nil
	}
	args := []string{"go", "run", "./vmtest/tamper"}
	if s.group != "all" {
		args = append(args, "--only", "test")
	}
	return s.runner(ctx, "tampered disks", args...)
}

// oneBoot is the demonstration alone.
func (s *suite) oneBoot(ctx context.Context) error {
	cmd := command(ctx, "./just", "boot")
	cmd.Stdout = os.Stdout
	if err := cmd.Run(); err != nil {
		s.fail("boot", err.Error())
		return nil
	}
	s.passed++
	return nil
}
