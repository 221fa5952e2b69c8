// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package plan

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/settings"
)

func TestWithSettings(t *testing.T) {
	for _, test := range []struct {
		name, baked, line, text string
		signed                  bool
		want                    error
		check                   func(*Plan) bool
	}{
		{name: "nothing", check: func(p *Plan) bool { return p.Image == "" }},
		{name: "harmless", text: "image=os_*\nlog=debug\nroothash=" + hash64, check: func(p *Plan) bool {
			return p.Image == "os_*" && p.Log == LevelDebug && len(p.RootHash) == 32
		}},
		{name: "network", text: "ip=dhcp,eth0\nurl=http://a/b", check: func(p *Plan) bool { return p.Network.NIC == "eth0" && len(p.URLs) == 1 }},
		{name: "signed", text: "corruption=panic\nfail=poweroff\ninit=/x", signed: true, check: func(p *Plan) bool {
			return p.Corruption == CorruptionPanic && p.Fail == FailPowerOff && p.Init == "/x"
		}},
		{name: "more than what was baked in", baked: "image=a\n", text: "image=b", check: func(p *Plan) bool { return p.Image == "b" }},
		{name: "less than the command line", line: "ddi.image=a", text: "image=b\nlog=debug", check: func(p *Plan) bool {
			return p.Image == "a" && p.Log == LevelDebug && len(p.Warnings) == 1
		}},
		{name: "quiet is no key of ours", line: "quiet", text: "log=info", check: func(p *Plan) bool { return p.Log == LevelInfo }},
		{name: "overruled, but checked", line: "ddi.log=err", text: "log=loud", want: ErrValue},

		{name: "unsigned init", text: "init=/bin/sh", want: ErrUnsigned},
		{name: "unsigned fail", text: "fail=poweroff", want: ErrUnsigned},
		{name: "unsigned break", text: "break=mount", want: ErrUnsigned},
		{name: "unsigned corruption", text: "corruption=eio", want: ErrUnsigned},
		{name: "unsigned attach", text: "attach=copy", want: ErrUnsigned},
		{name: "half harmless", text: "image=x\nattach=copy", want: ErrUnsigned},
		{name: "unknown", text: "x=1", signed: true, want: ErrUnknownKey},
		{name: "value", text: "log=loud", want: ErrValue},
		{name: "twice", text: "log=err\nlog=err", want: ErrRepeated},
		{name: "the partition it lies on", text: "device=/dev/vda", signed: true, want: ErrNotHere},
		{name: "how long that was waited for", text: "timeout=5", signed: true, want: ErrNotHere},
		{name: "syntax", text: "hello", want: settings.ErrSyntax},
		{name: "locked", baked: "allow-key=ddi.log\n", text: "image=x", want: ErrNotAllowed},
		{name: "locked to a value", baked: "allow-key=ddi.fail=poweroff\n", text: "fail=halt", signed: true, want: ErrNotAllowed},
		{name: "locked and allowed", baked: "allow-key=ddi.fail=poweroff\n", text: "fail=poweroff", signed: true, check: func(p *Plan) bool { return p.Fail == FailPowerOff }},
	} {
		p, err := New(Input{Config: []byte(test.baked), CommandLine: test.line, HasShell: true})
		if err != nil {
			t.Fatal(err)
		}
		before := dump(p, nil)
		next, err := p.WithSettings("vda1:/x/initddi.conf", []byte(test.text), test.signed)
		switch {
		case test.want != nil && (!errors.Is(err, test.want) || next != nil || !strings.Contains(err.Error(), "vda1:/x/initddi.conf")):
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		case test.want == nil && (err != nil || !test.check(next)):
			t.Errorf("%s: %v\n%s", test.name, err, dump(next, err))
		}
		if dump(p, nil) != before {
			t.Errorf("%s: the plan that it was called on changed", test.name)
		}
	}
}

// TestSettingsNeverWiden: no key of those that say what is acceptable can stand in the file, whoever signed it.
func TestSettingsNeverWiden(t *testing.T) {
	p, err := New(Input{})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keyTests {
		for value := range k.good {
			for _, signed := range []bool{false, true} {
				next, err := p.WithSettings("f", []byte(k.key+"="+value), signed)
				if k.baked && !errors.Is(err, ErrBakedOnly) {
					t.Errorf("%s=%s, signed %t: %v", k.key, value, signed, err)
				}
				if err != nil {
					continue
				}
				if !reflect.DeepEqual(next.Policy, p.Policy) || !reflect.DeepEqual(next.Identity, p.Identity) || next.Pins != nil || next.Trust != nil || next.DenyCerts != nil ||
					next.DenyRootHash != nil || next.AllowKeys != nil || next.Device != p.Device {
					t.Errorf("%s=%s, signed %t, changed what is acceptable", k.key, value, signed)
				}
			}
		}
	}
	// Without a shell in stage 1, none can be asked for.
	if _, err := p.WithSettings("f", []byte("break=mount"), true); !errors.Is(err, ErrNotHere) {
		t.Error(err)
	}
}

// FuzzWithSettings: whatever lies there, it does not panic, and what it is not signed for it does not change.
func FuzzWithSettings(f *testing.F) {
	for _, s := range []string{"", "image=os_*\nlog=debug\n", "init=/bin/sh", "policy=*", "# x\n\ntimeout = 5", "a\x00b=1", "image=["} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	p, err := New(Input{HasShell: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte, signed bool) {
		next, err := p.WithSettings("f", text, signed)
		if (err == nil) != (next != nil) {
			t.Fatalf("%v, %v", next, err)
		}
		if err != nil {
			return
		}
		narrow := *next
		narrow.Image, narrow.RootHash, narrow.UsrHash, narrow.Log = p.Image, p.RootHash, p.UsrHash, p.Log
		narrow.URLs, narrow.Network = p.URLs, p.Network
		if !signed && dump(&narrow, nil) != dump(p, nil) {
			t.Errorf("%q changed\n%s", text, dump(next, nil))
		}
	})
}
