// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/gpt"
)

func TestTables(t *testing.T) {
	images, stages, cells := map[string]Image{}, map[string]bool{}, map[string]bool{}
	for _, i := range Images() {
		if _, ok := images[i.Name]; ok {
			t.Errorf("two images are named %q", i.Name)
		}
		images[i.Name] = i
	}
	for name, i := range images {
		if _, ok := images[i.From]; i.From != "" && !ok {
			t.Errorf("image %s is made from %q, which no table names", name, i.From)
		}
	}
	for _, s := range Stages() {
		if stages[s.Name] {
			t.Errorf("two stages 1 are named %q", s.Name)
		}
		stages[s.Name] = true
		for _, line := range s.Set {
			checkPlaceholders(t, "stage 1 "+s.Name, line, images)
		}
	}
	names := regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	groups := map[string]bool{}
	for _, c := range Cells() {
		if cells[c.Name] {
			t.Errorf("two cells are named %q", c.Name)
		}
		cells[c.Name] = true
		groups[c.Group] = true
		checkCell(t, &c, images, stages)
		if !names.MatchString(c.Name) || !names.MatchString(c.Group) {
			t.Errorf("cell %q of group %q: names are of lower-case letters, digits and '-'", c.Name, c.Group)
		}
	}
	for g := range groups {
		if cells[g] || g == testGroup || g == "all" {
			t.Errorf("%q is a group and something else", g)
		}
	}
}

func checkCell(t *testing.T, c *Cell, images map[string]Image, stages map[string]bool) {
	t.Helper()
	if c.Doc == "" || strings.Contains(c.Doc, "\n") {
		t.Errorf("cell %s has the doc %q, wanted one line", c.Name, c.Doc)
	}
	if len(c.Must) == 0 {
		t.Errorf("cell %s names no sentence that must appear", c.Name)
	}
	if !slices.Contains([]Verdict{Entered, Refused, Shell, Restarted}, c.Verdict) {
		t.Errorf("cell %s wants the verdict %q", c.Name, c.Verdict)
	}
	if c.Stage1 != "" && !stages[c.Stage1] {
		t.Errorf("cell %s boots stage 1 %q, which no table names", c.Name, c.Stage1)
	}
	if c.Ready != "" && (len(c.Disks) > 0 || c.Firmware == SecureBoot && c.Cmdline+c.Kernel+c.Stage1 != "") {
		t.Errorf("cell %s boots a ready disk, and says something that would be ignored", c.Name)
	}
	if c.Firmware == SecureBoot && c.Ready == "" && len(c.Disks) == 0 {
		t.Errorf("cell %s has no disk for its UKI", c.Name)
	}
	if c.Check != nil && c.Verdict != Entered {
		t.Errorf("cell %s checks the marker's report, but does not want it to run", c.Name)
	}
	if len(c.Again) > 0 && c.Firmware != SecureBoot && c.Network == nil && !c.Keep {
		t.Errorf("cell %s boots again, and has no firmware that could have stored anything", c.Name)
	}
	for n := range c.Again {
		b := c.boot(n + 1)
		b.Again, b.Dialogue, b.Report = nil, nil, nil
		checkCell(t, b, images, stages)
	}
	if c.Unchanged != nil && (!c.Keep || len(c.Disks) == 0) {
		t.Errorf("cell %s looks for changes on a disk that keeps none", c.Name)
	}
	if c.SMBIOS != nil && c.Firmware != SecureBoot {
		t.Errorf("cell %s has SMBIOS strings, and no stub that reads them", c.Name)
	}
	for _, d := range c.Disks {
		if d.Loader && (d.Extended != nil || c.Firmware != SecureBoot && c.Firmware != UEFI) {
			t.Errorf("cell %s has a boot loader that nothing starts, or has it already", c.Name)
		}
		for _, p := range d.Place {
			if given := len(slices.DeleteFunc([]string{p.Image, p.Text, p.Addon, p.Kernel, p.Stage1, p.UKI}, func(s string) bool { return s == "" })); given != 1 {
				t.Errorf("cell %s: %s is to hold %d of an image, a text and an addon, wanted one thing", c.Name, p.Path, given)
			}
			if p.UKI != "" && !stages[p.UKI] {
				t.Errorf("cell %s places a UKI of stage 1 %q, which no table names", c.Name, p.UKI)
			}
			checkPlaceholders(t, "cell "+c.Name, p.Path, images)
			if _, ok := images[p.Image]; p.Image != "" && !ok {
				t.Errorf("cell %s places image %q, which no table names", c.Name, p.Image)
			}
		}
	}
	for _, s := range slices.Concat([]string{c.Cmdline}, c.Must, c.MustNot) {
		checkPlaceholders(t, "cell "+c.Name, s, images)
	}
	for _, s := range slices.Concat(c.Must, c.MustNot) {
		if strings.TrimSpace(s) == "" || strings.Contains(s, "\n") {
			t.Errorf("cell %s: %q is no sentence of one line", c.Name, s)
		}
	}
}

// checkPlaceholders finds images that no table names, and placeholders that would be left as they are.
func checkPlaceholders(t *testing.T, where, s string, images map[string]Image) {
	t.Helper()
	for _, m := range placeholder.FindAllStringSubmatch(s, -1) {
		if m[1] == "release" && (m[2] == "cloud" || m[2] == "generic") {
			continue
		}
		if _, ok := images[m[2]]; !ok || m[1] != "roothash" {
			t.Errorf("%s asks for the %s of %q, which no table names", where, m[1], m[2])
		}
	}
	if rest := placeholder.ReplaceAllString(s, ""); strings.ContainsAny(rest, "{}") {
		t.Errorf("%s has a placeholder that nothing fills: %q", where, s)
	}
}

func TestUnknownPlaceholder(t *testing.T) {
	w := &Workshop{images: map[string]Image{}, made: map[string]*thing{}}
	if out, err := w.fill(t.Context(), "ddi.roothash={roothash nothing}"); err == nil {
		t.Errorf("fill gave %q for an image that does not exist", out)
	}
	if out, err := w.fill(t.Context(), "ddi.log=debug"); err != nil || out != "ddi.log=debug" {
		t.Errorf("fill gave %q, %v for a line without placeholders", out, err)
	}
}

func TestChoose(t *testing.T) {
	cells := []Cell{{Name: "a", Group: "g"}, {Name: "b", Group: "g", Test: true}, {Name: "c", Group: "h"}}
	for _, tt := range []struct {
		only, want string
		fails      bool
	}{
		{only: "", want: "abc"}, {only: "all", want: "abc"}, {only: "g", want: "ab"}, {only: "c", want: "c"},
		{only: "c,a", want: "ac"}, {only: "a,g", want: "ab"}, {only: "test", want: "b"}, {only: "test,h", want: "bc"},
		{only: "nobody", fails: true}, {only: "a,nobody", fails: true},
	} {
		got, err := Choose(cells, tt.only)
		names := ""
		for _, c := range got {
			names += c.Name
		}
		if (err != nil) != tt.fails || err == nil && names != tt.want {
			t.Errorf("Choose(%q) gave %q, %v; wanted %q, failing: %v", tt.only, names, err, tt.want, tt.fails)
		}
	}
}

func TestMakeKeepsAndForgets(t *testing.T) {
	dir := t.TempDir()
	calls := 0
	make := func(key string) string {
		// A new workshop is a new run: only the files are left of the last one.
		w := &Workshop{Dir: dir, made: map[string]*thing{}}
		path, err := w.make("thing.raw", key, func(tmp string) error {
			calls++
			return os.WriteFile(tmp, []byte(key), 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	first := make("one")
	if again := make("one"); again != first || calls != 1 {
		t.Errorf("the same thing was made %d times, as %s and %s", calls, first, again)
	}
	second := make("two")
	if second == first || calls != 2 {
		t.Errorf("another thing was not made: %s, %d calls", second, calls)
	}
	if _, err := os.Stat(first); !os.IsNotExist(err) {
		t.Errorf("what nobody asks for any more is still there: %v", err)
	}
	if b, err := os.ReadFile(second); err != nil || string(b) != "two" {
		t.Errorf("the thing holds %q, %v", b, err)
	}
}

func TestMakeFailsWhole(t *testing.T) {
	w := &Workshop{Dir: t.TempDir(), made: map[string]*thing{}}
	_, err := w.make("thing", 1, func(tmp string) error {
		if err := os.WriteFile(tmp, []byte("half"), 0o644); err != nil {
			return err
		}
		return os.ErrInvalid
	})
	if err == nil {
		t.Fatal("make hid an error")
	}
	if left, _ := filepath.Glob(w.Dir + "/*"); len(left) != 0 {
		t.Errorf("a failure left %v", left)
	}
}

func TestDamage(t *testing.T) {
	// A partition table like an image's: data at 1 MiB, hash at 2 MiB.
	build := func() string {
		name := filepath.Join(t.TempDir(), "image")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		const size = 4 << 20
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		root, _ := gpt.TypeOf(gpt.Root, "x86-64")
		hash, _ := gpt.TypeOf(gpt.RootVerity, "x86-64")
		table := &gpt.Table{DiskUUID: root, SectorSize: 512, Partitions: []gpt.Partition{
			{Number: 1, Type: root, UUID: root, FirstLBA: 2048, LastLBA: 4095, Name: "root"},
			{Number: 2, Type: hash, UUID: hash, FirstLBA: 4096, LastLBA: 6143, Name: "verity"},
		}}
		if err := gpt.Write(f, size, table); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("a sentence, and what follows"), 1<<20+5000); err != nil {
			t.Fatal(err)
		}
		return name
	}
	diff := func(name string, damage func(string) error) (at []int) {
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := damage(name); err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(name)
		if err != nil || len(after) != len(before) {
			t.Fatalf("%v, %d bytes became %d", err, len(before), len(after))
		}
		for i := range before {
			if before[i] != after[i] {
				at = append(at, i)
			}
		}
		return at
	}
	if at := diff(build(), flip(1024)); !slices.Equal(at, []int{1<<20 + 1024}) {
		t.Errorf("flip changed the bytes %v", at)
	}
	if at := diff(build(), flipBehind("a sentence")); !slices.Equal(at, []int{1<<20 + 5010}) {
		t.Errorf("flipBehind changed the bytes %v", at)
	}
	if err := flipBehind("not there")(build()); err == nil {
		t.Error("flipBehind did not say that the text is not there")
	}
	name := build()
	if err := truncate(name); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(name); err != nil || info.Size() != 1<<20+1<<19 {
		t.Errorf("truncate left %v, %v", info, err)
	}
}

func TestListIsComplete(t *testing.T) {
	var out bytes.Buffer
	List(&out, Cells())
	if n := strings.Count(out.String(), "\n"); n != len(Cells()) {
		t.Errorf("List wrote %d lines for %d cells", n, len(Cells()))
	}
}
