// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package process

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/kerneltest"
)

func TestUptime(t *testing.T) {
	b, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Skip("needs /proc: ", err)
	}
	var seconds float64
	if _, err := fmt.Sscan(string(b), &seconds); err != nil {
		t.Fatal(err)
	}
	if d := Uptime().Seconds() - seconds; d < -0.1 || d > 10 {
		t.Errorf("off by %v seconds", d)
	}
}

func TestExecFails(t *testing.T) {
	if err := Exec("/nonexistent", []string{"x"}, nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "cannot execute /nonexistent") {
		t.Error(err)
	}
}

// terminal opens a pseudo terminal and returns its master and the path of its slave.
func terminal(t *testing.T) (*os.File, string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("needs /dev/ptmx: ", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/dev/pts/%d", n)
	if _, err := os.Stat(path); err != nil {
		t.Skip("needs /dev/pts: ", err)
	}
	return master, path
}

// TestRunOnConsole: a shell without a controlling terminal has no job control, and Ctrl-C does nothing.
func TestRunOnConsole(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("needs /bin/sh: ", err)
	}
	master, path := terminal(t)
	lines := make(chan string, 16)
	go func() {
		for s := bufio.NewScanner(master); s.Scan(); {
			lines <- strings.TrimRight(s.Text(), "\r")
		}
	}()
	err := RunOnConsole(path, []string{"/bin/sh", "-c", `test -t 0 && test -t 2 && echo "$X in $PWD" > /dev/tty; exit 7`}, []string{"X=works"})
	if err != nil {
		t.Errorf("what the shell ended with is nobody's business: %v", err)
	}
	select {
	case line := <-lines:
		if line != "works in /" {
			t.Errorf("the shell said %q", line)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing came to the terminal")
	}
	if err := RunOnConsole(path, []string{"/nonexistent"}, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := RunOnConsole("/nonexistent", []string{"/bin/sh"}, nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "console") {
		t.Error(err)
	}
}

func TestNSUseConsole(t *testing.T) {
	kerneltest.NeedNamespace(t)
	if kerneltest.ChildMode() == "" {
		kerneltest.Child(t, "console")
		return
	}
	master, path := terminal(t)
	if err := UseConsole("/nonexistent"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	saved, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 100)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	err = UseConsole(path)
	var targets, flags []string
	for fd := range 3 {
		target, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		f, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		targets, flags = append(targets, target), append(flags, fmt.Sprint(f))
	}
	after, _ := os.ReadDir("/proc/self/fd")
	for fd := range 3 {
		unix.Dup3(saved, fd, 0)
	}
	master.Close()
	if err != nil || strings.Join(targets, " ") != path+" "+path+" "+path || strings.Join(flags, " ") != "0 0 0" {
		t.Errorf("%v: %v, close-on-exec %v", err, targets, flags)
	}
	if len(after) != len(before) {
		t.Errorf("%d descriptors before, %d after", len(before), len(after))
	}
}

// TestNSEndOthers: what a shell leaves behind, sleeping or dead, is gone.
func TestNSEndOthers(t *testing.T) {
	kerneltest.NeedNamespace(t)
	if kerneltest.ChildMode() == "" {
		if err := EndOthers(time.Second); !errors.Is(err, unix.EPERM) {
			t.Fatalf("a process that is not process 1 got %v", err)
		}
		kerneltest.Init(t, "init")
		return
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// The namespace's own processes, not those of who made it.
	must(unix.Mount("proc", "/proc", "proc", 0, ""))
	processes := func() (pids []string) {
		entries, err := os.ReadDir("/proc")
		must(err)
		for _, e := range entries {
			if c := e.Name()[0]; '0' < c && c <= '9' {
				pids = append(pids, e.Name())
			}
		}
		return pids
	}
	// One that ignores what can be ignored, one that is a zombie, and one in a session of its own.
	p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "trap '' TERM HUP; sleep 1000 & (exit 3) & setsid sleep 1000 & exit 0"}, &os.ProcAttr{Env: os.Environ()})
	must(err)
	_, err = p.Wait()
	must(err)
	time.Sleep(50 * time.Millisecond)
	if left := processes(); len(left) < 4 {
		t.Errorf("the shell left %v", left)
	}
	must(EndOthers(10 * time.Second))
	if left := processes(); len(left) != 1 {
		t.Errorf("still there: %v", left)
	}
	must(EndOthers(10 * time.Second))
}

// TestStartSelf: the other process is this program, with the arguments that it was given.
func TestStartSelf(t *testing.T) {
	for args, want := range map[string]bool{"-test.list=^$": true, "-test.nosuchflag": false} {
		p, err := StartSelf([]string{"another name", args})
		if err != nil {
			t.Fatal(err)
		}
		if state, err := p.Wait(); err != nil || state.Success() != want {
			t.Errorf("%s: %v, %v", args, state, err)
		}
	}
}

// TestStartHolder: the other process has what was named, and nothing else, until the returned file is closed.
func TestStartHolder(t *testing.T) {
	if os.Getenv("HOLDER") != "" {
		// The other process: says what it has behind the standard files.
		for fd := 3; fd < 100; fd++ {
			if name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err == nil && strings.Contains(name, "held") {
				if err := os.WriteFile(name+".seen", nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n, err := os.Stdin.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Fatal("standard input holds something")
		}
		if err := os.WriteFile(os.Getenv("HOLDER"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	dir := t.TempDir()
	end := filepath.Join(dir, "end")
	t.Setenv("HOLDER", end)
	for _, name := range []string{"held1", "held2", "other"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	keep, err := StartHolder([]string{"holder", "-test.run=^TestStartHolder$"}, func(path string) bool { return strings.Contains(path, "held") })
	if err != nil {
		t.Fatal(err)
	}
	appears := func(name string) bool {
		for start := time.Now(); time.Since(start) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				return true
			}
		}
		return false
	}
	if !appears("held1.seen") || !appears("held2.seen") {
		t.Error("the other process has not what was to be held")
	}
	if _, err := os.Stat(end); err == nil {
		t.Error("it has ended")
	}
	keep.Close()
	if !appears("end") {
		t.Error("it does not end")
	}
}

// TestIgnoreSignals: the other process goes on when it is asked to end, and ends when it is done.
func TestIgnoreSignals(t *testing.T) {
	if os.Args[0] == "patient" {
		IgnoreSignals()
		for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGINT} {
			if err := unix.Kill(os.Getpid(), s); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	p, err := StartSelf([]string{"patient", "-test.run=^TestIgnoreSignals$"})
	if err != nil {
		t.Fatal(err)
	}
	if state, err := p.Wait(); err != nil || !state.Success() {
		t.Errorf("%v, %v", state, err)
	}
}
