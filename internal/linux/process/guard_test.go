// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package process

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/kerneltest"
)

func TestGuard(t *testing.T) {
	err := Guarded(func() error { panic("out of range") })
	var p *PanicError
	if !errors.As(err, &p) || err.Error() != "internal error: out of range" || !strings.Contains(p.Stack, "TestGuard") {
		t.Errorf("%v with the stack %q", err, p)
	}
	want := errors.New("an error")
	if err := Guarded(func() error { return want }); !errors.Is(err, want) {
		t.Error(err)
	}
	// What was returned before the panic is no answer.
	err = func() (err error) {
		defer Guard(&err)
		defer func() { panic("later") }()
		return want
	}()
	if !errors.As(err, &p) {
		t.Error(err)
	}
}

func TestUninterrupted(t *testing.T) {
	for _, want := range []error{nil, unix.EIO} {
		calls := 0
		err := Uninterrupted(func() error {
			if calls++; calls < 5 {
				return os.NewSyscallError("x", unix.EINTR)
			}
			return want
		})
		if calls != 5 || !errors.Is(err, want) {
			t.Errorf("%v after %d calls", err, calls)
		}
	}
}

// TestNSDefaultSignals: none of them ends process 1, and neither a child nor the program that replaces it inherits anything of that.
func TestNSDefaultSignals(t *testing.T) {
	kerneltest.NeedNamespace(t)
	sh := []string{"/bin/sh", "-c", "grep -E '^Sig(Ign|Blk):' /proc/self/status"}
	if kerneltest.ChildMode() == "" {
		const want = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
		for _, mode := range []string{"start", "exec"} {
			got, _, _ := strings.Cut(kerneltest.Init(t, mode), "PASS")
			if got != want {
				t.Errorf("%s: got\n%s\nwant\n%s", mode, got, want)
			}
		}
		return
	}
	DefaultSignals()
	for _, s := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGABRT, unix.SIGPIPE, unix.SIGTERM} {
		for range 3 {
			if err := unix.Kill(1, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	time.Sleep(50 * time.Millisecond)
	if kerneltest.ChildMode() == "exec" {
		t.Fatal(Exec(sh[0], sh, os.Environ()))
	}
	p, err := os.StartProcess(sh[0], sh, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
}
