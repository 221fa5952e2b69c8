// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netlink

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/kerneltest"
)

func open(t *testing.T) *Socket {
	t.Helper()
	s, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestCloseEndsReceive(t *testing.T) {
	s := open(t)
	done := make(chan error)
	go func() {
		buf := make([]byte, bufferSize)
		for {
			if _, err := s.Receive(buf); err != nil {
				done <- err
				return
			}
		}
	}()
	time.Sleep(10 * time.Millisecond)
	s.Close()
	select {
	case err := <-done:
		if !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it still waits")
	}
}

func TestContextEndsRun(t *testing.T) {
	s := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	// Nobody reads the channel: that must not keep it from ending either.
	go func() { done <- s.Run(ctx, make(chan []byte)) }()
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it still runs")
	}
}

// send sends a message to a socket alone, as somebody who is not the kernel.
func send(t *testing.T, to *Socket, text string) {
	t.Helper()
	raw, err := to.f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var address unix.Sockaddr
	raw.Control(func(fd uintptr) { address, err = unix.Getsockname(int(fd)) })
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	port := address.(*unix.SockaddrNetlink).Pid
	if err := unix.Sendto(fd, []byte(text), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: port}); err != nil {
		t.Fatal(err)
	}
}

// TestVMEvents: the kernel's messages come, in order; those of others do not.
func TestVMEvents(t *testing.T) {
	kerneltest.NeedMachine(t)
	s := open(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out := make(chan []byte, 64)
	go s.Run(ctx, out)
	const null = "/sys/devices/virtual/mem/null/uevent"
	send(t, s, "add@/devices/forged\x00ACTION=add\x00SEQNUM=1\x00")
	for _, action := range []string{"change", "add"} {
		if err := os.WriteFile(null, []byte(action), 0o200); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for len(got) < 2 {
		select {
		case msg := <-out:
			header, _, _ := bytes.Cut(msg, []byte{0})
			if bytes.Contains(msg, []byte("forged")) {
				t.Error("a message that the kernel did not send was passed on")
			}
			if bytes.Contains(header, []byte("/mem/null")) {
				got = append(got, string(header))
			}
		case <-ctx.Done():
			t.Fatalf("only got %q", got)
		}
	}
	if got[0] != "change@/devices/virtual/mem/null" || got[1] != "add@/devices/virtual/mem/null" {
		t.Errorf("got %q", got)
	}
}

// TestVMOverrun: when events were lost, that is said, and what comes later is heard.
func TestVMOverrun(t *testing.T) {
	kerneltest.NeedMachine(t)
	s := open(t)
	raw, err := s.f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4096) })
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if err := os.WriteFile("/sys/devices/virtual/mem/null/uevent", []byte("change"), 0o200); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out := make(chan []byte)
	go s.Run(ctx, out)
	lost := false
	for quiet := false; !lost || !quiet; {
		select {
		case msg := <-out:
			lost = lost || msg == nil
		case <-time.After(300 * time.Millisecond):
			quiet = true
		case <-ctx.Done():
			t.Fatal("nobody was told that events were lost")
		}
	}
	if err := os.WriteFile("/sys/devices/virtual/mem/null/uevent", []byte("add"), 0o200); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case msg := <-out:
			if bytes.HasPrefix(msg, []byte("add@")) {
				return
			}
		case <-ctx.Done():
			t.Fatal("nothing is heard any more")
		}
	}
}
