// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package layers

import (
	"errors"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/osrelease"
)

func fields(t *testing.T, text string) osrelease.Fields {
	t.Helper()
	f, err := osrelease.Parse([]byte(strings.ReplaceAll(text, ";", "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestMatch(t *testing.T) {
	const debian = "ID=debian;VERSION_ID=13"
	for _, test := range []struct {
		name, host, scope, extension string
		class                        Class
		key                          string // that decides against it, "" if it fits
	}{
		{"the same", debian, "system", debian, Sysext, ""},
		{"another system", debian, "system", "ID=fedora;VERSION_ID=13", Sysext, "ID"},
		{"no ID", debian, "system", "VERSION_ID=13", Sysext, "ID"},
		{"like it", "ID=ours;ID_LIKE=\"debian ubuntu\";VERSION_ID=1", "system", "ID=ubuntu;VERSION_ID=1", Sysext, ""},
		{"like part of a word", "ID=ours;ID_LIKE=debian-ish;VERSION_ID=1", "system", "ID=debian;VERSION_ID=1", Sysext, "ID"},
		{"the other way round", debian, "system", "ID=ours;ID_LIKE=debian;VERSION_ID=13", Sysext, "ID"},
		{"any", debian, "system", "ID=_any", Sysext, ""},
		{"any, but for an initrd", debian, "system", "ID=_any;SYSEXT_SCOPE=initrd", Sysext, "SYSEXT_SCOPE"},
		{"any, of another architecture", debian, "system", "ID=_any;ARCHITECTURE=arm64", Sysext, "ARCHITECTURE"},
		{"another version", debian, "system", "ID=debian;VERSION_ID=12", Sysext, "VERSION_ID"},
		{"no version", debian, "system", "ID=debian", Sysext, "VERSION_ID"},
		{"the system rolls", "ID=arch", "system", "ID=arch;VERSION_ID=5", Sysext, ""},
		{"levels before versions", debian + ";SYSEXT_LEVEL=2", "system", "ID=debian;VERSION_ID=1;SYSEXT_LEVEL=2", Sysext, ""},
		{"another level", debian + ";SYSEXT_LEVEL=2", "system", debian + ";SYSEXT_LEVEL=3", Sysext, "SYSEXT_LEVEL"},
		{"level on one side", debian + ";SYSEXT_LEVEL=2", "system", debian, Sysext, ""},
		{"level on the other", debian, "system", "ID=debian;SYSEXT_LEVEL=2", Sysext, "VERSION_ID"},
		{"only a level", "ID=debian;SYSEXT_LEVEL=2", "system", debian, Sysext, ""},
		{"the other class's level", debian + ";CONFEXT_LEVEL=2", "system", debian + ";CONFEXT_LEVEL=3", Sysext, ""},
		{"a confext's level", debian + ";CONFEXT_LEVEL=2", "system", debian + ";CONFEXT_LEVEL=3", Confext, "CONFEXT_LEVEL"},
		{"this architecture", debian, "system", debian + ";ARCHITECTURE=x86-64", Sysext, ""},
		{"any architecture", debian, "system", debian + ";ARCHITECTURE=_any", Sysext, ""},
		{"default scope in an initrd", debian, "initrd", debian, Sysext, "SYSEXT_SCOPE"},
		{"for initrds", debian, "initrd", debian + ";SYSEXT_SCOPE=\"system initrd\"", Sysext, ""},
		{"for nothing", debian, "system", debian + ";SYSEXT_SCOPE=", Sysext, "SYSEXT_SCOPE"},
		{"the other class's scope", debian, "system", debian + ";CONFEXT_SCOPE=initrd", Sysext, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Match(test.class, Host{Release: fields(t, test.host), Scope: test.scope, Arch: "x86-64"}, fields(t, test.extension))
			var mismatch *MismatchError
			switch errors.As(err, &mismatch); {
			case test.key == "" && err != nil:
				t.Error(err)
			case test.key != "" && (mismatch == nil || mismatch.Key != test.key || !strings.Contains(err.Error(), test.key)):
				t.Errorf("%v, want it to speak of %s", err, test.key)
			}
		})
	}
	if err := Match(Sysext, Host{Release: fields(t, "VERSION_ID=1"), Scope: "system"}, fields(t, debian)); !errors.Is(err, ErrNoID) {
		t.Error(err)
	}
	var mismatch *MismatchError
	if err := Match(Sysext, Host{Release: fields(t, debian), Scope: "system"}, osrelease.Fields{}); !errors.As(err, &mismatch) || mismatch.Key != "" {
		t.Error(err)
	}
}

func TestLoose(t *testing.T) {
	for _, test := range []struct {
		extension, file, strict string
		ok, want                bool
	}{
		{"foo", "extension-release.bar", "0", true, true},
		{"foo", "extension-release.bar", "false", true, true},
		{"foo", "extension-release.bar", "1", true, false},
		{"foo", "extension-release.bar", "maybe", true, false},
		{"foo", "extension-release.bar", "", false, false},
		{"foo_1.2", "extension-release.foo", "", false, true},
		{"foo+3", "extension-release.foo", "1", true, true},
		{"foo_1.2", "extension-release.fo", "", false, false},
		{"foo.raw", "extension-release.foo", "", false, true},
		{"foo.sysext.raw", "extension-release.foo", "", false, true},
		{"foo", "release.bar", "0", true, false},
		{"foo", "extension-release.", "0", true, false},
		{"foo", "extension-release..#x", "0", true, false},
		{"_1", "extension-release.x", "0", true, false},
	} {
		if got := Loose(test.extension, test.file, test.strict, test.ok); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

func TestReloadManager(t *testing.T) {
	for text, want := range map[string]bool{"EXTENSION_RELOAD_MANAGER=1": true, "EXTENSION_RELOAD_MANAGER=no": false, "EXTENSION_RELOAD_MANAGER=x": false, "": false} {
		if got := ReloadManager(fields(t, text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
