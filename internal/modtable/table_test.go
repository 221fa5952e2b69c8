// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package modtable

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// sample is a table with every kind of record, in canonical form.
const sample = `initddi-modules 1 6.12.107+deb13-amd64
class virtio virtio disks (QEMU, KVM)
class nvme
feature efivarfs
feature verity dm_verity crypto-sha256
crypto crc32c crc32c_intel crc32c_generic
crypto md5
crypto sha256 sha256_ssse3 builtin
builtin efivarfs
builtin nvme
module crc32c_generic crc32c_generic.ko
module crc32c_intel crc32c_intel.ko
module dm_bufio dm_bufio.ko dep=dm_mod
module dm_mod dm_mod.ko
module dm_verity sub/dm-verity.ko.zst dep=dm_bufio,dm_mod
module erofs erofs.ko dep=libcrc32c
module libcrc32c libcrc32c.ko soft=crypto-crc32c,crypto-md5
module sha256_ssse3 sha256_ssse3.ko
module uhci_hcd uhci_hcd.ko soft=dm_mod
module virtio_blk virtio_blk.ko
alias acpi*:LNRO0005:* virtio_blk
alias cpu:type:x86,ven*fam*mod*:feature:*0089* sha256_ssse3
alias cpu:type:x86,ven*fam*mod*:feature:*0094* crc32c_intel
alias of:N*T*Cvirtio,mmio virtio_blk
alias usb:v* uhci_hcd
alias usb:v0421p0019d059[2-9]dc* virtio_blk
alias virtio:d00000002v* virtio_blk
`

func mustParse(t testing.TB, text string) *Table {
	t.Helper()
	table, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestParse(t *testing.T) {
	table := mustParse(t, sample)
	want := Spec{
		Release: "6.12.107+deb13-amd64",
		Classes: []Class{{"virtio", "virtio disks (QEMU, KVM)"}, {"nvme", ""}},
		Features: []Feature{
			{"efivarfs", nil},
			{"verity", []string{"dm_verity", "crypto-sha256"}},
		},
		Algorithms: []Algorithm{
			{"crc32c", []string{"crc32c_intel", "crc32c_generic"}, false},
			{"md5", nil, false},
			{"sha256", []string{"sha256_ssse3"}, true},
		},
		Builtin: []string{"efivarfs", "nvme"},
		Modules: []Module{
			{Name: "crc32c_generic", File: "crc32c_generic.ko"},
			{Name: "crc32c_intel", File: "crc32c_intel.ko"},
			{Name: "dm_bufio", File: "dm_bufio.ko", Deps: []string{"dm_mod"}},
			{Name: "dm_mod", File: "dm_mod.ko"},
			{Name: "dm_verity", File: "sub/dm-verity.ko.zst", Deps: []string{"dm_bufio", "dm_mod"}},
			{Name: "erofs", File: "erofs.ko", Deps: []string{"libcrc32c"}},
			{Name: "libcrc32c", File: "libcrc32c.ko", Soft: []string{"crypto-crc32c", "crypto-md5"}},
			{Name: "sha256_ssse3", File: "sha256_ssse3.ko"},
			{Name: "uhci_hcd", File: "uhci_hcd.ko", Soft: []string{"dm_mod"}},
			{Name: "virtio_blk", File: "virtio_blk.ko"},
		},
		Aliases: []Alias{
			{"acpi*:LNRO0005:*", "virtio_blk"},
			{"cpu:type:x86,ven*fam*mod*:feature:*0089*", "sha256_ssse3"},
			{"cpu:type:x86,ven*fam*mod*:feature:*0094*", "crc32c_intel"},
			{"of:N*T*Cvirtio,mmio", "virtio_blk"},
			{"usb:v*", "uhci_hcd"},
			{"usb:v0421p0019d059[2-9]dc*", "virtio_blk"},
			{"virtio:d00000002v*", "virtio_blk"},
		},
	}
	if !reflect.DeepEqual(table.Spec, want) {
		t.Errorf("Parse:\n got %+v\nwant %+v", table.Spec, want)
	}
	if got := string(table.Encode()); got != sample {
		t.Errorf("Encode:\n%s", got)
	}
}

func TestParseCanonical(t *testing.T) {
	table := mustParse(t, "initddi-modules 1 r\n\n# words\nalias a-b[a-c]-d y\nmodule y y.ko\nmodule x x.ko\nbuiltin q p\n"+
		"alias a_b[a-c]_d y\nbuiltin p\n")
	want := "initddi-modules 1 r\nbuiltin p\nbuiltin q\nmodule x x.ko\nmodule y y.ko\nalias a_b[a-c]_d y\n"
	if got := string(table.Encode()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestParseErrors(t *testing.T) {
	const head = "initddi-modules 1 r\n"
	for _, tt := range []struct {
		name, text string
		want       error
		words      string // in the error
	}{
		{"empty", "", ErrSyntax, "line 1"},
		{"other magic", "modules 1 r\n", ErrSyntax, "initddi-modules"},
		{"other version", "initddi-modules 2 r\n", ErrSyntax, "want version 1"},
		{"no release", "initddi-modules 1 \n", ErrSyntax, "release"},
		{"too large", head + strings.Repeat("#\n", MaxSize/2), ErrSyntax, "the limit is"},
		{"long line", head + "#" + strings.Repeat("x", MaxLine) + "\n", ErrSyntax, "line 2"},
		{"unknown record", head + "modul a a.ko\n", ErrSyntax, `"modul"`},
		{"one word", head + "module\n", ErrSyntax, "line 2"},
		{"no file", head + "module a\n", ErrSyntax, `file ""`},
		{"absolute file", head + "module a /a.ko\n", ErrSyntax, "/a.ko"},
		{"file outside", head + "module a x/../../a.ko\n", ErrSyntax, "x/../../a.ko"},
		{"hyphen in name", head + "module a-b a.ko\n", ErrSyntax, "a-b"},
		{"long name", head + "module " + strings.Repeat("a", 56) + " a.ko\n", ErrSyntax, "aaaa"},
		{"name builtin", head + "module builtin a.ko\n", ErrSyntax, "builtin"},
		{"unknown option", head + "module a a.ko post=b\n", ErrSyntax, "post=b"},
		{"option twice", head + "module a a.ko dep=a dep=a\n", ErrSyntax, "dep=a"},
		{"control byte", head + "module a a.ko\nalias x\x01 a\n", ErrSyntax, "alias"},
		{"empty alias", head + "module a a.ko\nalias  a\n", ErrSyntax, "alias"},
		{"long alias", head + "module a a.ko\nalias " + strings.Repeat("x", MaxPattern+1) + " a\n", ErrSyntax, "alias"},
		{"too many modules", head + strings.Repeat("module a a.ko\n", MaxModules+1), ErrSyntax, "more than 4096"},
		{"too many aliases", head + strings.Repeat("alias a a\n", MaxAliases+1), ErrSyntax, "more than 65536"},
		{"module twice", head + "module a a.ko\nmodule a b.ko\n", ErrInconsistent, "twice"},
		{"class twice", head + "class a b\nclass a c\n", ErrInconsistent, "twice"},
		{"feature twice", head + "feature a\nfeature a\n", ErrInconsistent, "twice"},
		{"crypto twice", head + "crypto a\ncrypto a builtin\n", ErrInconsistent, "twice"},
		{"module and builtin", head + "module a a.ko\nbuiltin a\n", ErrInconsistent, "both"},
		{"missing dep", head + "module a a.ko dep=b\n", ErrInconsistent, `"b"`},
		{"empty dep", head + "module a a.ko dep=\n", ErrInconsistent, `""`},
		{"missing soft", head + "module a a.ko soft=crypto-x\n", ErrInconsistent, "crypto-x"},
		{"algorithm as dep", head + "crypto x builtin\nmodule a a.ko dep=crypto-x\n", ErrInconsistent, "crypto-x"},
		{"missing in feature", head + "feature f b\n", ErrInconsistent, "feature f"},
		{"missing in crypto", head + "crypto f b\n", ErrInconsistent, "algorithm f"},
		{"builtin not last", head + "module b b.ko\ncrypto f builtin b\n", ErrInconsistent, "algorithm f"},
		{"alias of nothing", head + "alias x b\n", ErrInconsistent, "alias x"},
		{"alias with three words", head + "module b b.ko\nalias x b c\n", ErrInconsistent, "b c"},
		{"cycle", head + "module a a.ko dep=b\nmodule b b.ko dep=c\nmodule c c.ko dep=a\n", ErrInconsistent, "itself"},
		{"soft cycle", head + "module a a.ko dep=b\nmodule b b.ko soft=a\n", ErrInconsistent, "itself"},
		{"cycle over crypto", head + "crypto x b\nmodule a a.ko soft=crypto-x\nmodule b b.ko dep=a\n", ErrInconsistent, "itself"},
	} {
		_, err := Parse([]byte(tt.text))
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: got %v, want %v with %q", tt.name, err, tt.want, tt.words)
		}
	}
}

func TestMatch(t *testing.T) {
	table := mustParse(t, sample)
	for _, tt := range []struct {
		modalias string
		want     []string
	}{
		{"virtio:d00000002v00001AF4", []string{"virtio_blk"}},
		{"virtio:d00000002v00001AF4\n", []string{"virtio_blk"}},
		{"virtio:d00000001v00001AF4", nil},
		{"acpi:LNRO0005:", []string{"virtio_blk"}},
		{"of:NvirtioT(null)Cvirtio-mmio", nil},
		{"of:NvirtioT(null)Cvirtio,mmio", []string{"virtio_blk"}},
		{"usb:v0421p0019d0594dc00", []string{"uhci_hcd", "virtio_blk"}},
		{"usb:v0421p0019d0591dc00", []string{"uhci_hcd"}},
		{"cpu:type:x86,ven0000fam0006mod0055:feature:,0001,0089,0094", []string{"sha256_ssse3", "crc32c_intel"}},
		{"", nil},
		{"u", nil},
		{"virtio:d00000002v" + strings.Repeat("0", maxModalias), nil},
	} {
		if got := table.Match(tt.modalias); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("Match(%.60q) = %q, want %q", tt.modalias, got, tt.want)
		}
	}
}

// planText prints a plan as "name(needs)" in order.
func planText(mods []Module) string {
	var words []string
	for _, m := range mods {
		words = append(words, fmt.Sprintf("%s(%s)", m.Name, strings.Join(append(append([]string{}, m.Deps...), m.Soft...), " ")))
	}
	return strings.Join(words, " ")
}

func TestPlan(t *testing.T) {
	const (
		fast = "cpu:type:x86,ven0000fam0006mod0055:feature:,0001,0089,0094,00ff"
		old  = "cpu:type:x86,ven0000fam0006mod0003:feature:,0001"
	)
	table := mustParse(t, sample)
	for _, tt := range []struct {
		cpu   string
		names []string
		want  string
	}{
		{fast, []string{"dm_verity", "crypto-sha256"}, "dm_mod() dm_bufio(dm_mod) dm_verity(dm_bufio dm_mod) sha256_ssse3()"},
		{old, []string{"dm_verity", "crypto-sha256"}, "dm_mod() dm_bufio(dm_mod) dm_verity(dm_bufio dm_mod)"},
		{fast, []string{"erofs"}, "crc32c_intel() libcrc32c(crc32c_intel) erofs(libcrc32c)"},
		{old, []string{"erofs"}, "crc32c_generic() libcrc32c(crc32c_generic) erofs(libcrc32c)"},
		{"", []string{"erofs", "erofs", "libcrc32c"}, "crc32c_generic() libcrc32c(crc32c_generic) erofs(libcrc32c)"},
		{"", []string{"nvme"}, ""},
		{"", nil, ""},
	} {
		mods, err := table.Plan(tt.cpu, tt.names...)
		if got := planText(mods); err != nil || got != tt.want {
			t.Errorf("Plan(%q, %q):\n got %s, %v\nwant %s", tt.cpu, tt.names, got, err, tt.want)
		}
	}
	for name, want := range map[string]error{
		"ext4": ErrUnknown, "dm-mod": ErrUnknown, "crypto-sha1": ErrUnknown, "": ErrUnknown, "crypto-md5": ErrNoProvider,
	} {
		if mods, err := table.Plan("", "dm_mod", name); !errors.Is(err, want) || mods != nil {
			t.Errorf("Plan(%q) = %v, %v, want %v", name, mods, err, want)
		}
	}
	if m, _ := table.Module("libcrc32c"); !reflect.DeepEqual(m.Soft, []string{"crypto-crc32c", "crypto-md5"}) {
		t.Errorf("Plan changed the table: %q", m.Soft)
	}
}

func TestFeature(t *testing.T) {
	table := mustParse(t, sample)
	for name, want := range map[string]struct {
		modules []string
		ok      bool
	}{
		"verity":   {[]string{"dm_verity", "crypto-sha256"}, true},
		"efivarfs": {nil, true},
		"squashfs": {nil, false},
	} {
		if got, ok := table.Feature(name); ok != want.ok || !reflect.DeepEqual(got, want.modules) {
			t.Errorf("Feature(%q) = %q, %v", name, got, ok)
		}
	}
	if table.IsBuiltin("virtio_blk") || !table.IsBuiltin("nvme") {
		t.Error("IsBuiltin is wrong")
	}
}

// TestNewCopies makes sure that a caller's slices stay as they were.
func TestNewCopies(t *testing.T) {
	spec := Spec{Release: "r", Modules: []Module{{Name: "b", File: "b.ko"}, {Name: "a", File: "a.ko"}},
		Aliases: []Alias{{"x-y", "a"}}}
	table, err := New(spec)
	if err != nil || table.Modules[0].Name != "a" || spec.Modules[0].Name != "b" || spec.Aliases[0].Pattern != "x-y" {
		t.Errorf("New: %v, %+v, %+v", err, table, spec)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("initddi-modules 1 r\nmodule a a.ko dep=b soft=crypto-x\nmodule b b.ko\ncrypto x b builtin\nalias a-[!]x-]* b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrInconsistent) {
				t.Fatalf("error of neither kind: %v", err)
			}
			return
		}
		text := table.Encode()
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("cannot parse what Encode wrote: %v\n%s", err, text)
		}
		if string(again.Encode()) != string(text) {
			t.Fatalf("not canonical:\n%s\n%s", text, again.Encode())
		}
		for _, m := range table.Modules {
			checkPlan(t, table, m.Name)
		}
		for _, a := range table.Aliases {
			// A pattern without wildcards matches itself, whatever its hyphens were.
			if literalPrefix(a.Pattern) == a.Pattern && !contains(table.Match(a.Pattern), a.Module) {
				t.Fatalf("Match(%q) lacks %s", a.Pattern, a.Module)
			}
		}
	})
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

// checkPlan checks that a plan has name, once, behind everything that it needs.
func checkPlan(t *testing.T, table *Table, name string) {
	mods, err := table.Plan("cpu:x", name)
	if err != nil {
		t.Fatalf("Plan(%q): %v", name, err)
	}
	loaded := map[string]bool{}
	for _, m := range mods {
		for _, need := range append(append([]string{}, m.Deps...), m.Soft...) {
			if !loaded[need] {
				t.Fatalf("Plan(%q): %s comes before %s", name, m.Name, need)
			}
		}
		if loaded[m.Name] {
			t.Fatalf("Plan(%q): %s comes twice", name, m.Name)
		}
		loaded[m.Name] = true
	}
	if len(mods) == 0 || mods[len(mods)-1].Name != name {
		t.Fatalf("Plan(%q) does not end with it: %v", name, mods)
	}
}

// BenchmarkMatch is a machine of 200 devices against a table of 3,000 aliases.
func BenchmarkMatch(b *testing.B) {
	spec := Spec{Release: "r", Modules: []Module{{Name: "a", File: "a.ko"}}}
	for i := range 3000 {
		spec.Aliases = append(spec.Aliases, Alias{fmt.Sprintf("pci:v0000%04Xd0000%04Xsv*sd*bc*sc*i*", i%40, i), "a"})
	}
	table, err := New(spec)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for i := range 200 {
			table.Match(fmt.Sprintf("pci:v00001AF4d0000%04Xsv00001AF4sd00000002bc01sc00i00", i))
		}
	}
}
