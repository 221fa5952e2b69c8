// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vm

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// answering is a socket at which somebody says the lines that belong to a command, and what was asked there.
func answering(t *testing.T, lines map[string]string) (path string, asked func() string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "qmp")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	done := make(chan string, 1)
	go func() {
		var all strings.Builder
		defer func() { done <- all.String() }()
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(`{"QMP": {"version": {}}}` + "\n")); err != nil {
			return
		}
		for sc := bufio.NewScanner(conn); sc.Scan(); {
			all.WriteString(sc.Text() + "\n")
			for word, answer := range lines {
				if strings.Contains(sc.Text(), `"`+word+`"`) {
					if _, err := conn.Write([]byte(answer + "\n")); err != nil {
						return
					}
				}
			}
		}
	}()
	return path, func() string { return <-done }
}

func TestMonitor(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	path, asked := answering(t, map[string]string{
		"qmp_capabilities": `{"return": {}}`,
		"device_add":       `{"event": "DEVICE_ADDED"}` + "\n" + `{"return": {}}`,
		"query-nothing":    `{"error": {"class": "GenericError", "desc": "no such thing"}}`,
		"stop":             `{"return": {}}` + "\n" + `{"event": "OTHER"}` + "\n" + `{"event": "STOP"}`,
	})
	m, err := Connect(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := (Config{}).Plug(m, 3); err != nil {
		t.Error(err)
	}
	if _, err := m.Command("query-nothing", nil); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("got %v", err)
	}
	if _, err := m.Command("stop", nil); err != nil {
		t.Error(err)
	}
	if err := m.Wait("STOP"); err != nil {
		t.Error(err)
	}
	m.Close()
	if text := asked(); !strings.Contains(text, `"drive":"disk3"`) || !strings.Contains(text, `{"execute":"stop"}`) {
		t.Errorf("QEMU was asked\n%s", text)
	}
	if err := m.Wait("STOP"); err == nil {
		t.Error("a closed connection says something")
	}
}

func TestMonitorSilent(t *testing.T) {
	// Nobody listens.
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := Connect(ctx, filepath.Join(t.TempDir(), "nothing")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	// Somebody listens and says nothing.
	path, _ := answering(t, nil)
	ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := Connect(ctx, path); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
