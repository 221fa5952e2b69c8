// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package plan

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// TestAllowKeys: with a list, a word of the command line is on it or is refused by name.
func TestAllowKeys(t *testing.T) {
	const list = "allow-key=console\nallow-key=quiet\nallow-key=no-timer_check\nallow-key=ddi.log\nallow-key=ddi.fail=reboot\nallow-key=ddi.fail=poweroff\n"
	for _, test := range []struct{ line, refused string }{
		{"", ""},
		{"console=ttyS0 console=tty0 quiet ddi.log=debug ddi.fail=poweroff", ""},
		{"no_timer_check ddi.fail=reboot", ""},
		{"init=/bin/sh", "init=/bin/sh"},
		{"systemd.debug_shell=1", "systemd.debug_shell=1"},
		{"systemd.debug-shell", "systemd.debug-shell"},
		{"quiet rd.systemd.unit=emergency.target quiet", "rd.systemd.unit=emergency.target"},
		{"emergency", "emergency"},
		{"Console=ttyS0", "Console=ttyS0"},
		{"consoles", "consoles"},
		{"ddi.fail=halt", "ddi.fail=halt"},
		{"ddi.fail", "ddi.fail"},
		{"ddi.init=/bin/sh", "ddi.init=/bin/sh"},
		{"ddi.break=mount", "ddi.break=mount"},
		{"quiet -- single", "-- single"},
		{`"init=/bin/sh"`, "init=/bin/sh"},
		{`init="/bin/sh -x"`, "init=/bin/sh -x"},
	} {
		p, err := New(Input{CommandLine: test.line, Config: []byte(list), HasShell: true})
		if test.refused == "" {
			if err != nil {
				t.Errorf("%s: %v", test.line, err)
			}
			continue
		}
		if !errors.Is(err, ErrNotAllowed) || !strings.HasPrefix(err.Error(), "cannot use "+test.refused+" from the kernel command line: not among the keys") {
			t.Errorf("%s: %v", test.line, err)
		}
		if p.Fail != FailReboot || p.Init != "" || p.InitOS != "" || p.Break != nil {
			t.Errorf("%s: a word that is refused had an effect: %+v", test.line, p)
		}
	}
	// Without a list everybody's keys pass, as before.
	if _, err := New(Input{CommandLine: "init=/bin/sh anything -- single"}); err != nil {
		t.Error(err)
	}
	// The list is baked in: the command line cannot make itself one.
	if _, err := New(Input{CommandLine: "ddi.allow-key=init"}); !errors.Is(err, ErrBakedOnly) {
		t.Error(err)
	}
}

// TestLockedTemplate: what the template locks with is understood, and takes no word that opens anything.
func TestLockedTemplate(t *testing.T) {
	config, err := os.ReadFile("../../templates/locked.conf")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Input{Config: config, CommandLine: "console=ttyS0 quiet ro systemd.import_credentials=no ddi.fail=poweroff ddi.timeout=5"}); err != nil {
		t.Error(err)
	}
	for _, word := range []string{"init=/bin/sh", "systemd.debug_shell=1", "rd.systemd.unit=emergency.target", "rd.break", "single", "1", "systemd.unit=rescue.target",
		"systemd.run=/bin/sh", "ddi.break=mount", "ddi.fail=shell", "ddi.fail=halt", "ddi.init=/bin/sh", "ddi.device=/dev/sda1", "rdinit=/bbin/bb", "module.sig_enforce=0",
		"lockdown=none", "systemd.import_credentials=yes", "systemd.import_credentials", "systemd.set_credential=a:b", "root=/dev/sda1", "systemd.setenv=LD_PRELOAD=x", "systemd.image_policy=*", "systemd.mount-extra=x", "bootconfig", "--"} {
		if _, err := New(Input{Config: config, CommandLine: word + " x", HasShell: true}); !errors.Is(err, ErrNotAllowed) {
			t.Errorf("%s: %v", word, err)
		}
	}
}
