// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/vmtest"
	"github.com/initddi/initddi/vmtest/guest"
)

// newTestDesk makes a desk, or skips the test where a tool is missing.
func newTestDesk(t *testing.T) *Desk {
	t.Helper()
	for _, tool := range []struct{ name, pkg string }{{"mkfs.erofs", "erofs-utils"}, {"openssl", "openssl"}, {"mcopy", "mtools"}, {"/usr/sbin/mkfs.vfat", "dosfstools"}} {
		if _, err := exec.LookPath(tool.name); err != nil {
			t.Skipf("needs %s (Debian package %s)", tool.name, tool.pkg)
		}
	}
	desk, err := NewDesk(NewGoods(t.TempDir()), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return desk
}

// TestCases has every case's disk judged without a virtual machine.
func TestCases(t *testing.T) {
	desk := newTestDesk(t)
	for _, c := range Cases() {
		if c.Extension != nil {
			continue // TestNSTrees and TestVMTrees
		}
		t.Run(c.Name, func(t *testing.T) {
			f, wrong := desk.Try(&c)
			for _, w := range wrong {
				t.Error(w)
			}
			t.Log(f)
		})
	}
}

// TestDeskNotices has the desk judge cases that say something else than what must come of them.
func TestDeskNotices(t *testing.T) {
	desk := newTestDesk(t)
	flip := func(d *DDI) { d.flip(d.Data.Offset) }
	for _, tt := range []struct {
		name, want string
		c          Case
	}{
		{"a good case", "", Case{DDI: flip, Verdict: Refused, Layer: Verity}},
		{"another verdict", "it is refused by verity, wanted harmless by unread", Case{DDI: flip, Verdict: Harmless, Layer: Unread}},
		{"the right verdict from the wrong layer", "it is refused by verity, wanted refused by signature", Case{DDI: flip, Verdict: Refused, Layer: Signature}},
		{"another reason", `wanted "too small" in it`, Case{DDI: flip, Verdict: Refused, Layer: Verity, Says: "too small"}},
		{"nothing altered", "nothing was altered", Case{DDI: func(*DDI) {}, Verdict: Harmless, Layer: Unread}},
		{"a generator that cannot", "block 0 is not in the image", Case{DDI: func(d *DDI) { clear(d.part(d.Data)); d.payload(0) }, Verdict: Refused, Layer: Verity}},
		{"no such disk", "no table names it", Case{DDI: flip, Disk: "none", Verdict: Refused, Layer: Verity}},
	} {
		_, wrong := desk.Try(&tt.c)
		if got := strings.Join(wrong, "; "); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, wanted %q", tt.name, got, tt.want)
		}
	}
}

// TestFalseData has data under the good signature that is not what was signed: by cheating, since nothing else can.
func TestFalseData(t *testing.T) {
	desk := newTestDesk(t)
	disk, err := desk.goods.Disk("plain")
	if err != nil {
		t.Fatal(err)
	}
	desk.want = append([]byte{1}, desk.want[1:]...)
	f, err := desk.judge(&Case{}, disk)
	if err != nil || f.Verdict == Harmless || f.Verdict == Refused || f.Verdict == Contained {
		t.Errorf("false data is %s, %v", f, err)
	}
}

// TestLook judges consoles.
func TestLook(t *testing.T) {
	const other = "[    4.1] initddi: vda1:/loader/ddi/os.raw refused (signed): cannot verify signature: made by nobody\n"
	const right = "[    4.1] initddi: vda1:/loader/ddi/os.raw refused (readable): cannot read the image's partition table: entry size is 0\n"
	for _, tt := range []struct {
		console string
		wrong   bool
	}{
		{right, false}, {"initddi: vda1:/loader/ddi/initddi.conf refused (settings): x: it changes nothing\n" + right, false}, {"initddi: plan\n" + right + other, false}, {other + right, true}, {other, true}, {"", true}, {strings.Replace(right, "size is 0", "size is 1", 1), true},
	} {
		var cell vmtest.Cell
		refused(&cell, Table, "entry size is 0")
		if got := cell.Look(tt.console); (len(got) > 0) != tt.wrong {
			t.Errorf("%q gives %q", tt.console, got)
		}
	}
}

// TestPayloadIs judges what an init read.
func TestPayloadIs(t *testing.T) {
	bad := without([]int{7})
	eio := []string{"read " + guest.PayloadPath + ": input/output error"}
	facts := func(p guest.PayloadFacts) *guest.Facts { return &guest.Facts{Payload: &p} }
	judge := payloadIs(func() (*guest.PayloadFacts, error) { return bad, nil })
	for _, tt := range []struct {
		name  string
		facts *guest.Facts
		wrong string
	}{
		{"contained", facts(guest.PayloadFacts{Bad: []int{7}, SHA256: bad.SHA256, Errors: eio}), ""},
		{"with a neighbour", facts(guest.PayloadFacts{Bad: []int{6, 7}, SHA256: without([]int{6, 7}).SHA256, Errors: eio}), ""},
		{"nothing read", &guest.Facts{}, "did not read"},
		{"all read", facts(*intact()), "cannot be read"},
		{"false data", facts(guest.PayloadFacts{Bad: []int{7}, SHA256: intact().SHA256, Errors: eio}), "false data"},
		{"another error", facts(guest.PayloadFacts{Bad: []int{7}, SHA256: bad.SHA256, Errors: []string{"no such device"}}), "wanted an I/O error"},
	} {
		got := strings.Join(judge(tt.facts), "; ")
		if (got == "") != (tt.wrong == "") || !strings.Contains(got, tt.wrong) {
			t.Errorf("%s: %q, wanted %q", tt.name, got, tt.wrong)
		}
	}
}

func TestAround(t *testing.T) {
	for _, tt := range []struct {
		got, bad []int
		want     bool
	}{
		{nil, nil, true}, {[]int{5}, []int{5}, true}, {[]int{4, 5, 6, 7}, []int{5}, true},
		{nil, []int{5}, false}, {[]int{4, 6}, []int{5}, false}, {[]int{5, 200}, []int{5}, false}, {[]int{5}, nil, false},
	} {
		if got := around(tt.got, tt.bad); got != tt.want {
			t.Errorf("around(%v, %v) = %v", tt.got, tt.bad, got)
		}
	}
}

// TestTables finds what was forgotten in a case.
func TestTables(t *testing.T) {
	seen := map[string]bool{}
	boots := 0
	for _, c := range Cases() {
		if seen[c.Name] {
			t.Errorf("two cases are named %q", c.Name)
		}
		seen[c.Name] = true
		if c.Boot {
			boots++
		}
		if c.Doc == "" || c.Verdict == "" || c.Layer == "" || c.Group == "" {
			t.Errorf("case %s does not say everything: %+v", c.Name, c)
		}
		if c.Test && !c.Boot {
			t.Errorf("case %s is for every run of the tests, and is no boot", c.Name)
		}
		if (c.Verdict == Refused) != (c.Layer.sentences() != nil) {
			t.Errorf("case %s is %s by %s, which never gives that", c.Name, c.Verdict, c.Layer)
		}
		if c.Verdict != Refused && c.Layer != Settings && c.Says != "" {
			t.Errorf("case %s says %q, and is not refused", c.Name, c.Says)
		}
		if c.Verdict == Harmless && !slices.Contains([]Layer{Backup, Unread, Accepted, Settings}, c.Layer) {
			t.Errorf("case %s is harmless by %s", c.Name, c.Layer)
		}
	}
	t.Logf("%d cases, %d of them boots", len(seen), boots)
}

// TestPromises finds names of cases in docs/SECURITY.md that do not exist.
func TestPromises(t *testing.T) {
	b, err := os.ReadFile("../../docs/SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, c := range Cases() {
		names[c.Name], names[c.Group] = true, true
	}
	for _, c := range (&Booth{}).Cells() {
		names[c.Name], names[c.Group] = true, true
	}
	found := regexp.MustCompile("`tamper ([^`]+)`").FindAllStringSubmatch(string(b), -1)
	if len(found) < 30 {
		t.Errorf("docs/SECURITY.md names %d groups and cases", len(found))
	}
	for _, m := range found {
		if !names[m[1]] && m[1] != "x" {
			t.Errorf("docs/SECURITY.md names %q, which is neither a group nor a case", m[1])
		}
	}
}
