// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestLedger(t *testing.T) {
	name := filepath.Join(t.TempDir(), "doc.md")
	const empty = "# Before\n\n" + ledgerBegin + "\n" + ledgerHead + ledgerEnd + "\nbehind\n"
	if err := os.WriteFile(name, []byte(empty), 0o644); err != nil {
		t.Fatal(err)
	}
	fat, gpt := target{module + "internal/fat", "FuzzWalk"}, target{module + "internal/gpt", "FuzzRead"}
	for _, r := range []row{{gpt.String(), 999, 10 * time.Minute, "2026-11-25", "aa"}, {fat.String(), 1234567, 0, "2026-11-25", "bb"}, {gpt.String(), 1000, 330 * time.Second, "2026-11-26", "cc"}} {
		l, err := readLedger(name)
		if err != nil {
			t.Fatal(err)
		}
		l.set(r)
		if err := l.write(); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	const want = "# Before\n\n" + ledgerBegin + "\n" + ledgerHead +
		"| `internal/fat.FuzzWalk` | 1,234,567 |  | 2026-11-25 | `bb` |\n| `internal/gpt.FuzzRead` | 1,000 | 5m30s | 2026-11-26 | `cc` |\n" + ledgerEnd + "\nbehind\n"
	if got := minutes(10 * time.Minute); got != "10m" {
		t.Errorf("ten minutes are written as %q", got)
	}
	if string(b) != want {
		t.Errorf("the ledger is\n%s\nwanted\n%s", b, want)
	}
	l, err := readLedger(name)
	if err != nil {
		t.Fatal(err)
	}
	if got, span := l.of(fat, "bb"); got != 1234567 || span != 0 {
		t.Errorf("the ledger has %d executions in %v", got, span)
	}
	if got, span := l.of(gpt, "cc"); got != 1000 || span != 330*time.Second {
		t.Errorf("the ledger has %d executions in %v", got, span)
	}
	if got, span := l.of(gpt, "aa"); got != 0 || span != 0 {
		t.Errorf("executions of other sources count: %d in %v", got, span)
	}
	for _, bad := range []string{"", ledgerBegin + "\n| a | b |\n" + ledgerEnd, ledgerBegin + "\n| a | many | c | d |\n" + ledgerEnd} {
		if _, err := parseLedger(bad); err == nil {
			t.Errorf("the ledger %q was read", bad)
		}
	}
}

func TestChoose(t *testing.T) {
	var all []target
	for _, n := range []string{"internal/fat.FuzzWalk", "internal/gpt.FuzzRead", "internal/guid.FuzzParse"} {
		dir, name, _ := cutLast(n)
		all = append(all, target{module + dir, name})
	}
	for _, tt := range []struct {
		args []string
		want int
	}{{nil, 2}, {[]string{"hostile"}, 2}, {[]string{"all"}, 3}, {[]string{"guid"}, 1}, {[]string{"fat", "Walk"}, 1}, {[]string{"nothing"}, -1}} {
		got, err := choose(all, tt.args)
		if err != nil && tt.want >= 0 || err == nil && len(got) != tt.want {
			t.Errorf("%q chooses %v, %v; wanted %d", tt.args, got, err, tt.want)
		}
	}
}

func cutLast(s string) (before, after string, ok bool) {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '.' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}
