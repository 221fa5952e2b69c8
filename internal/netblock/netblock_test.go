// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netblock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/nbd"
	"github.com/initddi/initddi/internal/nbd/nbdtest"
)

// say starts a server that says something to everybody who connects, whatever it hears, and then nothing more.
func say(t *testing.T, text []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				c.Write(text)
				io.Copy(io.Discard, c)
			}()
		}
	}()
	return l.Addr().String()
}

func address(t *testing.T, at, export string) nbd.URL {
	t.Helper()
	u, err := nbd.ParseURL("nbd://" + at + "/" + export)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// nobody is an address where nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestAsk(t *testing.T) {
	s := &nbdtest.Server{Export: "disk", Size: 1<<20 + 100, Read: nbdtest.Bytes(nil), MultiConn: true}
	at := s.Start(t, "127.0.0.1:0")
	e, err := Ask(t.Context(), address(t, at, "disk"))
	if err != nil || e.Size != 1<<20 || e.BlockSize != 512 || e.Connections != maxConnections {
		t.Errorf("%+v, %v", e, err)
	}
	for _, test := range []struct {
		name, at, export string
		err              error
		final            bool
		text             string
	}{
		{"no such export", at, "other", nbd.ErrNoExport, true, "nbd://" + at + "/other"},
		{"nobody there", nobody(t), "disk", syscall.ECONNREFUSED, false, "refused"},
		{"says nothing", say(t, nil), "disk", context.DeadlineExceeded, false, "deadline"},
		{"says half of it", say(t, []byte("NBDMAGICIHA")), "disk", context.DeadlineExceeded, false, "deadline"},
		{"a web server", say(t, []byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")), "disk", nbd.ErrProtocol, true, "it begins with"},
		{"no such host", "host.invalid", "disk", nil, false, "host.invalid"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begin := time.Now()
			_, err := Ask(ctx, address(t, test.at, test.export))
			if err == nil || test.err != nil && !errors.Is(err, test.err) || Final(err) != test.final || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v, final: %v", err, Final(err))
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestAskUnusable: an export that no device can be made of is said goodbye to.
func TestAskUnusable(t *testing.T) {
	s := &nbdtest.Server{Export: "disk", Size: 1 << 20, Read: nbdtest.Bytes(nil), Sizes: [3]uint32{65536, 65536, 1 << 20}}
	if _, err := Ask(t.Context(), address(t, s.Start(t, "127.0.0.1:0"), "disk")); !errors.Is(err, nbd.ErrUnusable) || !Final(err) {
		t.Error(err)
	}
}

func TestList(t *testing.T) {
	start := func(export string, size int64) string {
		s := &nbdtest.Server{Export: export, Size: size, Read: nbdtest.Bytes(nil)}
		return s.Start(t, "127.0.0.1:0")
	}
	one, two := start("a", 1<<20), start("b", 2<<20)
	silent, dead := say(t, nil), nobody(t)
	for _, test := range []struct {
		name     string
		urls     []nbd.URL
		want     string
		reported int
		err      error
	}{
		{"all answer", []nbd.URL{address(t, two, "b"), address(t, one, "a")}, "b a", 0, nil},
		{"the second has none", []nbd.URL{address(t, one, "a"), address(t, two, "a")}, "a", 1, nil},
		{"the first has none", []nbd.URL{address(t, one, "b"), address(t, two, "b")}, "b", 1, nil},
		{"the first is not there", []nbd.URL{address(t, dead, "a"), address(t, one, "a")}, "a", 1, nil},
		{"none has any", []nbd.URL{address(t, one, "x"), address(t, two, "x")}, "", 2, nbd.ErrNoExport},
		{"one has none, one is not there", []nbd.URL{address(t, one, "x"), address(t, dead, "x")}, "", 2, nbd.ErrNoExport},
		{"nobody is there", []nbd.URL{address(t, dead, "a"), address(t, silent, "a")}, "", 2, ErrNoAnswer},
		{"nothing to ask", nil, "", 0, ErrNoAnswer},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			reported := 0
			list, err := List(ctx, test.urls, func(u nbd.URL, err error) {
				if err == nil || !strings.Contains(err.Error(), u.Address()) {
					t.Errorf("%s: %v", u, err)
				}
				reported++
			})
			var names []string
			for _, e := range list {
				names = append(names, e.URL.Export)
			}
			if got := strings.Join(names, " "); got != test.want || !errors.Is(err, test.err) || (err == nil) != (test.err == nil) || reported != test.reported {
				t.Errorf("%q, %v, %d were reported", got, err, reported)
			}
		})
	}
}

// TestListWaits: a server that is not up yet is asked again.
func TestListWaits(t *testing.T) {
	at := nobody(t)
	s := &nbdtest.Server{Export: "disk", Size: 1 << 20, Read: nbdtest.Bytes(nil)}
	var asked atomic.Int32
	time.AfterFunc(600*time.Millisecond, func() {
		asked.Store(1)
		s.Start(t, at)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	list, err := List(ctx, []nbd.URL{address(t, at, "disk")}, func(u nbd.URL, err error) { t.Errorf("%s: %v", u, err) })
	if err != nil || len(list) != 1 || asked.Load() != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestNode(t *testing.T) {
	if got := fmt.Sprint(Device{Index: 12}.Node()); got != "nbd12" {
		t.Error(got)
	}
}
