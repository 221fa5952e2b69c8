// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package kerneltest says where tests that change the kernel's state may run, and starts the processes in which they do.
//
// Tests called TestNS… run in a user and mount namespace, tests called TestVM… as root in a virtual machine whose kernel and
// initramfs are made for them (vmtest/guesttests). Anywhere else they skip themselves.
package kerneltest

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Variables of the environment.
const (
	namespaceVariable = "INITDDI_NS"
	machineVariable   = "INITDDI_VM"
	childVariable     = "INITDDI_TEST_CHILD"
)

// NeedNamespace skips the test unless it was started for a user namespace; then it fails where it is in none.
func NeedNamespace(t testing.TB) {
	t.Helper()
	if os.Getenv(namespaceVariable) != "1" {
		t.Skip("runs in a user namespace: ./just test-ns")
	}
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	if f := strings.Fields(string(b)); len(f) != 3 || f[2] != "1" || os.Getuid() != 0 {
		t.Fatalf("%s is set, but this is no user namespace of one user: %q", namespaceVariable, b)
	}
}

// NeedMachine skips the test unless it runs in the virtual machine that was made for it.
func NeedMachine(t testing.TB) {
	t.Helper()
	if os.Getenv(machineVariable) != "1" {
		t.Skip("runs as root in a virtual machine: ./just test-vm")
	}
}

// ChildMode returns what the parent asked for where the process was started by [Child], else the empty string.
func ChildMode() string { return os.Getenv(childVariable) }

// Child runs the current test alone in another process with a mount namespace of its own, with [ChildMode] returning mode. It
// returns what that wrote, and fails the test if it failed.
func Child(t testing.TB, mode string) string {
	t.Helper()
	return child(t, mode, &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS})
}

// Init is [Child] with a process that is process 1 of a namespace of its own.
func Init(t testing.TB, mode string) string {
	t.Helper()
	if os.Getpid() == 1 {
		t.Fatal("this is process 1 already")
	}
	return child(t, mode, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS})
}

func child(t testing.TB, mode string, attr *syscall.SysProcAttr) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v=false")
	cmd.Env = append(os.Environ(), childVariable+"="+mode)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = attr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v:\n%s", mode, err, out.String())
	}
	return out.String()
}

// Loopback brings the loopback interface up, as nobody does in a machine that has just started.
func Loopback(t testing.TB) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		t.Fatalf("cannot bring lo up: %v", err)
	}
}
