// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestConsole: a terminal that takes nothing costs lines and not the boot, and what it shows later is whole lines and how many are missing.
func TestConsole(t *testing.T) {
	for _, test := range []struct {
		name string
		stop string // what comes from the other end
	}{
		{"Ctrl-S", "\x13"},
		{"nobody reads", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			master, path := terminal(t)
			c, err := OpenConsole(path)
			if err != nil {
				t.Fatal(err)
			}
			defer c.tty.Close()
			c.patience = 100 * time.Millisecond
			written := 0
			line := func() {
				written++
				if n, err := fmt.Fprintf(c, "line %d%s\n", written, strings.Repeat(".", 100)); n < 100 || err != nil {
					t.Fatalf("%d, %v", n, err)
				}
			}
			line()
			if _, err := master.WriteString(test.stop); err != nil {
				t.Fatal(err)
			}
			// The kernel takes up what came in the background, and keeps some of what is written.
			for begun := time.Now(); c.lost < 30; line() {
				if written > 10000 || time.Since(begun) > 20*time.Second {
					t.Fatalf("%d lines, %d of them left out, in %s", written, c.lost, time.Since(begun))
				}
			}
			lost := c.lost
			if _, err := master.WriteString("\x11"); err != nil {
				t.Fatal(err)
			}
			got := make(chan string)
			go func() {
				var all strings.Builder
				for b := make([]byte, 4096); !strings.Contains(all.String(), "the end"); {
					n, err := master.Read(b)
					if all.Write(b[:n]); err != nil {
						break
					}
				}
				got <- all.String()
			}()
			// How long the kernel takes to go on is its own affair; lines that are left out until then are counted too.
			for begun := time.Now(); c.lost > 0 || len(c.rest) > 0; time.Sleep(time.Millisecond) {
				if time.Since(begun) > 10*time.Second {
					t.Fatal("it does not go on")
				}
				lost = max(lost, c.lost)
				line()
			}
			fmt.Fprintln(c, "the end")
			missing, last := 0, 0
			note := regexp.MustCompile(`^initddi: lines are missing here, (\d+) of them`)
			for _, l := range strings.Split(<-got, "\r\n") {
				if m := note.FindStringSubmatch(l); m != nil {
					n, _ := strconv.Atoi(m[1])
					missing, last = missing+n, last+n
				} else if last++; strings.HasPrefix(l, "the end") {
					break
				} else if want := fmt.Sprintf("line %d%s", last, strings.Repeat(".", 100)); l != want {
					t.Fatalf("%q, wanted %q", l, want)
				}
			}
			if missing < lost || last != written+1 {
				t.Errorf("%d lines are said to be missing, wanted %d; %d lines in all, %d were written", missing, lost, last-1, written)
			}
		})
	}
}

func TestConsoleElsewhere(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	if _, err := OpenConsole(name); err == nil || !strings.Contains(err.Error(), "cannot open the console") {
		t.Error(err)
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := OpenConsole(name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.tty.Close()
	fmt.Fprintln(c, "one")
	fmt.Fprintln(c, "two")
	if b, err := os.ReadFile(name); err != nil || string(b) != "one\ntwo\n" {
		t.Errorf("%q, %v", b, err)
	}
}
