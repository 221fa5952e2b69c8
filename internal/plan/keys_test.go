// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package plan

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	hash64 = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	cert64 = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
)

// show returns the one field of a plan that a key sets.
var show = map[string]func(*Plan) any{
	"roothash":       func(p *Plan) any { return fmt.Sprintf("%x", p.RootHash) },
	"usrhash":        func(p *Plan) any { return fmt.Sprintf("%x", p.UsrHash) },
	"image":          func(p *Plan) any { return p.Image },
	"source":         func(p *Plan) any { return joinText(p.Sources) },
	"url":            func(p *Plan) any { return strings.Join(p.URLs, ",") },
	"ip":             func(p *Plan) any { return p.Network },
	"device":         func(p *Plan) any { return p.Device },
	"attach":         func(p *Plan) any { return p.Attach },
	"corruption":     func(p *Plan) any { return p.Corruption },
	"init":           func(p *Plan) any { return p.Init },
	"timeout":        func(p *Plan) any { return p.Timeout },
	"log":            func(p *Plan) any { return p.Log },
	"fail":           func(p *Plan) any { return p.Fail },
	"break":          func(p *Plan) any { return joinText(p.Break) },
	"attempts":       func(p *Plan) any { return p.Attempts },
	"rollback":       func(p *Plan) any { return p.Rollback },
	"rollback-index": func(p *Plan) any { return fmt.Sprintf("%#x", uint32(p.RollbackIndex)) },
	"allow-key":      func(p *Plan) any { return strings.Join(p.AllowKeys, "|") },
	"overlay":        func(p *Plan) any { return p.Overlay },
	"merge":          func(p *Plan) any { return p.Merge },
	"measure":        func(p *Plan) any { return p.Measure },
	"pin":            func(p *Plan) any { return fmt.Sprintf("%x", p.Pins) },
	"deny-roothash":  func(p *Plan) any { return fmt.Sprintf("%x", p.DenyRootHash) },
	"deny-cert":      func(p *Plan) any { return fmt.Sprintf("%x", p.DenyCerts) },
	"id":             func(p *Plan) any { return p.Identity.ID },
	"image-id":       func(p *Plan) any { return p.Identity.ImageID },
	"min-version":    func(p *Plan) any { return p.Identity.MinVersion },
	"kind":           func(p *Plan) any { return p.Identity.Kind },
	"policy":         func(p *Plan) any { return p.Policy },
	"sysext-policy":  func(p *Plan) any { return p.SysextPolicy },
}

// keyTests has every key: values it takes, with what they mean, and values it does not.
var keyTests = []struct {
	key   string
	baked bool // only in stage1.conf
	good  map[string]string
	bad   []string
}{
	{"roothash", false, map[string]string{hash64: hash64, strings.ToUpper(hash64): hash64, hash64 + hash64[:32]: hash64 + hash64[:32], hash64 + hash64: hash64 + hash64},
		[]string{"", hash64[:32], hash64[:63], hash64 + "00", "sha256:" + hash64, strings.Repeat("g", 64), hash64 + hash64 + "00"}},
	{"usrhash", false, map[string]string{hash64: hash64}, []string{"", "x"}},
	{"image", false, map[string]string{"os.raw": "os.raw", "os_*.raw": "os_*.raw", "/images/os.raw": "/images/os.raw", "a[bc]": "a[bc]", "..raw": "..raw"},
		[]string{"", "[", "a/../b", "..", "../os.raw", "a[", "a\\"}},
	{"source", false, map[string]string{"esp": "esp", "initrd": "initrd", "pmem,esp": "pmem,esp", "esp,initrd,pmem": "esp,initrd,pmem"},
		[]string{"", "esp,esp", "http", "esp,nbd", "esp,", "ESP", "disk"}},
	{"device", false, map[string]string{
		"PARTUUID=11111111-2222-3333-4444-AAAAAAAAAAAA": "PARTUUID=11111111-2222-3333-4444-aaaaaaaaaaaa",
		"partuuid=11111111-2222-3333-4444-aaaaaaaaaaaa": "PARTUUID=11111111-2222-3333-4444-aaaaaaaaaaaa",
		"PARTLABEL=EFI_system":                          "PARTLABEL=EFI_system", "LABEL=ESP": "LABEL=ESP", "LABEL=a=b": "LABEL=a=b", "/dev/vda": "/dev/vda", "/dev/disk/by-path/x": "/dev/disk/by-path/x",
	}, []string{"", "vda", "/dev", "/dev/", "/dev/../etc", "/dev//vda", "UUID=1234-5678", "PARTUUID=", "PARTUUID=x", "PARTUUID=00000000-0000-0000-0000-000000000000", "LABEL=", "PARTLABEL=", "/sys/vda"}},
	{"attach", false, map[string]string{"direct": "direct", "copy": "copy"}, []string{"", "Copy", "direct,copy"}},
	{"corruption", false, map[string]string{"restart": "restart", "eio": "eio", "panic": "panic"}, []string{"", "ignore"}},
	{"init", false, map[string]string{"/sbin/init": "/sbin/init"}, []string{"", "sbin/init", "/sbin/../init", "/sbin/init/", "//init"}},
	{"timeout", false, map[string]string{"5": "5s", "5s": "5s", "500ms": "500ms", "2min": "2m0s", "infinity": time.Duration(math.MaxInt64).String(),
		"4294967295": "1193046h28m15s"},
		[]string{"", "0", "0s", "-1", "+1", "1.5", "5 s", "5h", "s", "ms", "min", "4294967296", "4294967295min", "1e3", "Infinity"}},
	{"log", false, map[string]string{"info": "info", "debug": "debug", "err": "err"}, []string{"", "warning"}},
	{"fail", false, map[string]string{"reboot": "reboot", "poweroff": "poweroff", "halt": "halt", "shell": "shell"}, []string{"", "panic"}},
	{"break", false, map[string]string{"storage": "storage", "storage,verify,mount,merge,handoff": "storage,verify,mount,merge,handoff", "mount,storage": "mount,storage"},
		[]string{"", "storage,storage", "storage,", "pre-mount"}},
	{"attempts", false, map[string]string{"1": "1", "200": "200", "no": "0", "03": "3"}, []string{"", "0", "201", "-1", "yes", "1.5", "NO"}},
	{"allow-key", true, map[string]string{"console": "console", "ddi.fail=reboot": "ddi.fail=reboot", "a=": "a="}, []string{"", "=x", "a b", "\"a\"", "a= b"}},
	{"overlay", false, map[string]string{"no": "no", "tmpfs": "tmpfs"}, []string{"", "yes", "tmpfs,no"}},
	{"merge", false, map[string]string{"no": "false", "yes": "true"}, []string{"", "1", "YES"}},
	{"measure", false, map[string]string{"no": "no", "yes": "yes", "require": "require"}, []string{"", "Yes", "yes,no"}},
	{"url", false, map[string]string{"http://a": "http://a", "https://[2001:db8::1]:8443/x?y=1": "https://[2001:db8::1]:8443/x?y=1", "http://a/b%2Cc,nbd://d/e,http://a/": "http://a/b%2Cc,nbd://d/e,http://a/"},
		[]string{"", "x", "http:/x", "http://", "http:///x", "http://:80/x", "ftp://x/y", "HTTP://x", "http://u:p@x/", "http://x/#y", "http://x/ y", "http://x/\u00e4", "http://x,", "http://x,http://x",
			"http://" + strings.Repeat("x", 1020), strings.Repeat("http://x/,", 17)}},
	{"ip", false, map[string]string{"dhcp": "dhcp", "dhcp,eth0.5": "dhcp,eth0.5", "192.0.2.5/24,192.0.2.1,": "192.0.2.5/24,192.0.2.1,"}, []string{"", "dhcp6", "192.0.2.5", "eth0"}},
	{"policy", false, map[string]string{"root=signed+absent:usr=signed+absent": "root=signed+absent:usr=signed+absent"}, []string{"root", "root=ext3", "boot=signed", "root=signed:root=signed"}},
	{"sysext-policy", false, map[string]string{"usr=absent+signed:root=absent+signed": "root=signed+absent:usr=signed+absent"}, []string{"root", "root=signed:"}},

	{"pin", true, map[string]string{hash64: "[" + hash64 + "]"}, []string{"", hash64[:32], "x"}},
	{"deny-roothash", true, map[string]string{hash64: "[" + hash64 + "]"}, []string{"", hash64[:32]}},
	{"deny-cert", true, map[string]string{cert64: "[" + cert64 + "]"}, []string{"", cert64[:62], cert64 + "00", "x"}},
	{"id", true, map[string]string{"debian": "debian"}, []string{""}},
	{"image-id", true, map[string]string{"kiosk": "kiosk"}, []string{""}},
	{"min-version", true, map[string]string{"1.2": "1.2"}, []string{""}},
	{"kind", true, map[string]string{"os": "os", "initrd": "initrd"}, []string{"", "sysext"}},
	{"rollback", true, map[string]string{"no": "no", "yes": "yes", "required": "required"}, []string{"", "1", "YES", "yes,required"}},
	{"rollback-index", true, map[string]string{"0x01800000": "0x1800000", "0x018dd100": "0x18dd100", "0x1FFFFFF": "0x1ffffff"},
		[]string{"", "0x", "25000000", "0x00ffffff", "0x02000000", "0x0x01800000", "-0x01800000", "0x101800000"}},
}

// wantKeyError checks that err is one KeyError with that key and place, wrapping want.
func wantKeyError(t *testing.T, err error, key, where string, want ...error) {
	t.Helper()
	var ke *KeyError
	if !errors.As(err, &ke) {
		t.Fatalf("got %v, want a KeyError for %s", err, key)
	}
	if ke.Key != key || ke.Where != where {
		t.Errorf("%v: is about %q from %q, want %q from %q", err, ke.Key, ke.Where, key, where)
	}
	if !slices.ContainsFunc(want, func(w error) bool { return errors.Is(err, w) }) {
		t.Errorf("%v: wraps none of %v", err, want)
	}
	if !strings.Contains(err.Error(), key+"="+ke.Value) || !strings.Contains(err.Error(), where) {
		t.Errorf("%q does not say what stands where", err)
	}
}

func TestKeys(t *testing.T) {
	for _, test := range keyTests {
		t.Run(test.key, func(t *testing.T) {
			for value, want := range test.good {
				p, err := New(Input{Config: []byte(test.key + "=" + value + "\n"), HasShell: true, HasMerge: true})
				if err != nil {
					t.Errorf("stage1.conf: %v", err)
				} else if got := fmt.Sprint(show[test.key](p)); got != want {
					t.Errorf("stage1.conf: %s=%s means %s, want %s", test.key, value, got, want)
				}
				p, err = New(Input{CommandLine: "ddi." + test.key + "=" + value, HasShell: true, HasMerge: true})
				if test.baked {
					wantKeyError(t, err, "ddi."+test.key, "kernel command line", ErrBakedOnly)
				} else if err != nil {
					t.Error(err)
				} else if got := fmt.Sprint(show[test.key](p)); got != want {
					t.Errorf("ddi.%s=%s means %s, want %s", test.key, value, got, want)
				}
			}
			for _, value := range test.bad {
				_, err := New(Input{Config: []byte("\n" + test.key + " = " + value), HasShell: true, HasMerge: true})
				wantKeyError(t, err, test.key, "/etc/initddi/stage1.conf line 2", ErrValue, ErrNotHere)
				_, err = New(Input{CommandLine: `quiet "ddi.` + test.key + "=" + value + `"`, HasShell: true, HasMerge: true})
				wantKeyError(t, err, "ddi."+test.key, "kernel command line", ErrValue, ErrNotHere, ErrBakedOnly)
			}
		})
	}
}

// TestEveryKeyIsTested reads the keys out of the messages' opposite: a key that is not in keyTests must be unknown.
func TestEveryKeyIsTested(t *testing.T) {
	for key := range show {
		if !slices.ContainsFunc(keyTests, func(k struct {
			key   string
			baked bool
			good  map[string]string
			bad   []string
		}) bool {
			return k.key == key
		}) {
			t.Errorf("%s is not tested", key)
		}
	}
	for _, key := range []string{"", "x", "root", "pins", "roothash.x", "Roothash", "extra-keys", "trust", "debug"} {
		_, err := New(Input{CommandLine: "ddi." + key + "=1"})
		wantKeyError(t, err, "ddi."+key, "kernel command line", ErrUnknownKey)
	}
	_, err := New(Input{Config: []byte("debug=1")})
	wantKeyError(t, err, "debug", "/etc/initddi/stage1.conf line 1", ErrUnknownKey)
}

func TestRepeatedKeys(t *testing.T) {
	_, err := New(Input{CommandLine: "ddi.log=err ddi.log=err"})
	wantKeyError(t, err, "ddi.log", "kernel command line", ErrRepeated)
	_, err = New(Input{CommandLine: "ddi.roothash=" + hash64 + " ddi.usrhash=" + hash64 + " ddi.roothash=" + hash64})
	wantKeyError(t, err, "ddi.roothash", "kernel command line", ErrRepeated)
	_, err = New(Input{Config: []byte("id=a\nid=a\n")})
	wantKeyError(t, err, "id", "/etc/initddi/stage1.conf line 2", ErrRepeated)
	lists := []string{"pin", "deny-cert", "deny-roothash", "allow-key"}
	for _, k := range keyTests {
		for value := range k.good {
			_, err := New(Input{Config: []byte(k.key + "=" + value + "\n" + k.key + "=" + value), HasShell: true, HasMerge: true})
			if slices.Contains(lists, k.key) {
				if err != nil {
					t.Errorf("%s is a list: %v", k.key, err)
				}
				continue
			}
			wantKeyError(t, err, k.key, "/etc/initddi/stage1.conf line 2", ErrRepeated)
		}
	}
	p, err := New(Input{Config: []byte("pin=" + hash64 + "\npin=" + cert64 + "\ndeny-cert=" + cert64 + "\ndeny-cert=" + hash64 + "\ndeny-roothash=" + hash64 + "\ndeny-roothash=" + cert64)})
	if err != nil || len(p.Pins) != 2 || len(p.DenyCerts) != 2 || len(p.DenyRootHash) != 2 {
		t.Errorf("lists: %v, %+v", err, p)
	}
	// What is baked in is a default for the command line, not a repetition.
	p, err = New(Input{Config: []byte("log=debug\ntimeout=1\n"), CommandLine: "ddi.log=err"})
	if err != nil || p.Log != LevelErr || p.Timeout != time.Second {
		t.Errorf("default: %v, %+v", err, p)
	}
}

func TestUnderscoreIsDash(t *testing.T) {
	_, err := New(Input{CommandLine: "ddi.sysext_policy=x"})
	wantKeyError(t, err, "ddi.sysext-policy", "kernel command line", ErrValue)
	for _, key := range []string{"image_id", "min_version", "deny_cert", "deny_roothash", "allow_key"} {
		_, err := New(Input{CommandLine: "ddi." + key + "=" + hash64})
		wantKeyError(t, err, "ddi."+strings.ReplaceAll(key, "_", "-"), "kernel command line", ErrBakedOnly)
	}
	_, err = New(Input{CommandLine: "ddi.deny_cert=1 ddi.deny-cert=1"})
	if !errors.Is(err, ErrRepeated) {
		t.Errorf("the two spellings are two keys: %v", err)
	}
}

func TestAllMistakesAreNamed(t *testing.T) {
	_, err := New(Input{Config: []byte("id=\nnonsense=1\n"), CommandLine: "ddi.log=x ddi.id=x",
		Certificates: []CertificateFile{{Name: "/etc/verity.d/a.crt", PEM: []byte("x")}}})
	for _, word := range []string{"id= from", "nonsense=1", "ddi.log=x", "ddi.id=x", "/etc/verity.d/a.crt"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not name %s", err, word)
		}
	}
}

func TestValuesSayWhatTheyTake(t *testing.T) {
	_, err := New(Input{CommandLine: "ddi.fail=never"})
	want := "cannot use ddi.fail=never from the kernel command line: value outside its grammar: it takes one of reboot,poweroff,halt,shell"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestControlCharacters: white space may stand between quotes on the command line, but not in the name of a file.
func TestControlCharacters(t *testing.T) {
	_, err := New(Input{CommandLine: "\"ddi.image=a\tb\""})
	wantKeyError(t, err, "ddi.image", "kernel command line", ErrValue)
	if p, err := New(Input{CommandLine: `"ddi.image=a b"`}); err != nil || p.Image != "a b" {
		t.Errorf("%q, %v", p.Image, err)
	}
}

// TestWithoutMerge: a stage 1 that cannot merge extensions says so if it is asked to, and else when there are any.
func TestWithoutMerge(t *testing.T) {
	for _, word := range []string{"overlay=tmpfs", "merge=yes"} {
		key, _, _ := strings.Cut(word, "=")
		_, err := New(Input{CommandLine: "ddi." + word})
		wantKeyError(t, err, "ddi."+key, whereCommandLine, ErrNotHere)
		if !strings.Contains(err.Error(), "was not built into it") {
			t.Error(err)
		}
	}
	for _, test := range []struct {
		line          string
		has           bool
		merge, cannot bool
	}{{"", true, true, false}, {"", false, false, true}, {"ddi.merge=no", true, false, false}, {"ddi.merge=no ddi.overlay=no", false, false, false}} {
		p, err := New(Input{CommandLine: test.line, HasMerge: test.has})
		if err != nil || p.Merge != test.merge || p.CannotMerge != test.cannot || p.Overlay != OverlayNo {
			t.Errorf("%q, %v: merge %v, cannot %v, overlay %s, %v", test.line, test.has, p.Merge, p.CannotMerge, p.Overlay, err)
		}
	}
}
