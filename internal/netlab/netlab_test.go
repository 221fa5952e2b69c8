// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/linux/kerneltest"
	"github.com/initddi/initddi/internal/program"
)

func TestTag(t *testing.T) {
	frame := []byte("destinsource\x08\x00payload")
	tagged := addTag(frame, 5)
	if want := []byte("destinsource\x81\x00\x00\x05\x08\x00payload"); !bytes.Equal(tagged, want) {
		t.Errorf("%q", tagged)
	}
	if got := takeTag(tagged, 5); !bytes.Equal(got, frame) {
		t.Errorf("%q", got)
	}
	// The three bits above the VLAN are priorities.
	if got := takeTag([]byte("destinsource\x81\x00\xe0\x05\x08\x00payload"), 5); !bytes.Equal(got, frame) {
		t.Errorf("%q", got)
	}
	for _, other := range [][]byte{frame, addTag(frame, 6), nil, []byte("short")} {
		if got := takeTag(other, 5); got != nil {
			t.Errorf("%q is not in VLAN 5, and became %q", other, got)
		}
	}
	if addTag([]byte("short"), 5) != nil {
		t.Error("what is no frame gets a tag")
	}
}

// lab is a network for a test, which is skipped where a program for it is missing.
func lab(t *testing.T, vlan int) *Lab {
	t.Helper()
	kerneltest.NeedNamespace(t)
	l, err := Open(context.Background(), t.TempDir(), vlan)
	skipMissing(t, err)
	t.Cleanup(l.Close)
	return l
}

func skipMissing(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, program.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestNSServers(t *testing.T) {
	for _, vlan := range []int{0, 5} {
		l, ctx := lab(t, vlan), context.Background()
		root := t.TempDir()
		file := filepath.Join(root, "file")
		if err := os.WriteFile(file, []byte("hello"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := l.Dnsmasq(ctx, append(append([]string{}, DHCP4...), SLAAC...)...)
		skipMissing(t, err)
		_, err = l.Nginx(ctx, root, "location /slow { limit_rate 1k; }", "")
		skipMissing(t, err)
		_, err = l.NBD(ctx, "file", file)
		skipMissing(t, err)
		if err := l.Tap(ctx, "vm0"); err != nil {
			t.Error(err)
		}
		logs, err := l.Logs()
		if err != nil || len(logs) != 3 || !strings.Contains(logs[Dnsmasq], "DHCP, IP range 192.0.2.100") || !strings.Contains(logs[Dnsmasq], "router advertisement on fd00:db8::") {
			t.Errorf("%v, %q", err, logs)
		}
		cmd, err := l.Command(ctx, "iproute2", "ip", "address", "show", "dev", l.Device)
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), Address4) || !strings.Contains(string(out), Address6) {
			t.Errorf("%v: %s", err, out)
		}
		pid := l.Pid()
		l.Close()
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil {
			t.Errorf("process %d is still there: %s", pid, b)
		}
		l.Close()
	}
}

func TestNSServerThatEnds(t *testing.T) {
	l, ctx := lab(t, 0), context.Background()
	_, err := l.Dnsmasq(ctx, "no-such-option")
	if errors.Is(err, program.ErrMissing) {
		t.Skip(err)
	}
	if err == nil || !strings.Contains(err.Error(), "no-such-option") && !strings.Contains(err.Error(), "bad command line") {
		t.Error(err)
	}
}
