// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package sysext

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/initddi/initddi/internal/linux/kerneltest"
)

// killedAt is a System that kills its process right before its n-th change, counted from 0, and writes down what the change would have been.
func killedAt(w world, n int, to string) {
	count := 0
	w.Step = func(what string) {
		if count == n {
			_ = os.WriteFile(to, []byte(what), 0o644)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		count++
	}
}

// crash runs a verb in another process of this namespace that is killed at its n-th change. It returns what that was, "" if it had fewer.
func crash(t *testing.T, dir, verb string, n int) string {
	t.Helper()
	to := filepath.Join(dir, "killed")
	os.Remove(to)
	attr := &os.ProcAttr{Env: append(os.Environ(), "INITDDI_TEST_CHILD="+verb+" "+strconv.Itoa(n)+" "+dir), Files: []*os.File{nil, os.Stdout, os.Stderr}}
	p, err := os.StartProcess("/proc/self/exe", []string{"test", "-test.run=^TestNSCrash$"}, attr)
	must(t, err)
	state, err := p.Wait()
	must(t, err)
	b, err := os.ReadFile(to)
	if err != nil {
		if !state.Success() {
			t.Fatalf("%s, killed at change %d: %v", verb, n, state)
		}
		return ""
	}
	return string(b)
}

// do runs a verb.
func (w world) do(verb string) error {
	switch verb {
	case "merge":
		return w.Merge(Options{})
	case "unmerge":
		return w.Unmerge()
	case "refresh", "refresh less":
		return w.Refresh(Options{})
	}
	return fmt.Errorf("no verb %s", verb)
}

// TestNSCrash kills each verb before each of its changes, and has each verb repair that.
func TestNSCrash(t *testing.T) {
	kerneltest.NeedNamespace(t)
	if mode := kerneltest.ChildMode(); mode != "" {
		verb, rest, _ := strings.Cut(mode, " ")
		n, dir, _ := strings.Cut(rest, " ")
		w := newWorld(t, dir)
		at, err := strconv.Atoi(n)
		must(t, err)
		killedAt(w, at, filepath.Join(dir, "killed"))
		must(t, w.do(verb))
		return
	}
	w := newWorld(t, t.TempDir())
	w.populate(t)
	before := w.snapshot(t)
	for _, verb := range []string{"merge", "unmerge", "refresh"} {
		n := 0
		for ; ; n++ {
			at := ""
			for _, repair := range []string{"merge", "unmerge", "refresh"} {
				if verb != "merge" {
					must(t, w.Merge(Options{}))
				}
				at = crash(t, w.dir, verb, n)
				if at == "" {
					must(t, w.Unmerge())
					break
				}
				t.Run(fmt.Sprintf("%s killed before %s, then %s", verb, strings.ReplaceAll(at, w.dir, ""), repair), func(t *testing.T) {
					os.Remove(filepath.Join(w.dir, "killed"))
					if _, err := w.Status(); err != nil {
						t.Error(err)
					}
					// Nobody sees a hierarchy without what was mounted in it, unless that was being taken out.
					if verb == "merge" && w.read(t, "usr/local/deep/b") != "deep" {
						t.Error("what was mounted below is gone")
					}
					if err := w.do(repair); err != nil {
						t.Fatal(err)
					}
					w.check(t, repair != "unmerge")
					must(t, w.Unmerge())
					w.wantSame(t, before)
				})
			}
			if at == "" {
				break
			}
		}
		t.Logf("%s: %d changes", verb, n)
		if n < 4 {
			t.Errorf("%s has %d changes, which cannot be all", verb, n)
		}
	}
}
