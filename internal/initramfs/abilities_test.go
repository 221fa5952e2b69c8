// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package initramfs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/ability"
	"github.com/initddi/initddi/internal/plan"
)

// program builds a program that does nothing with these tags.
func program(t *testing.T, tags string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs time for the go command, which -short does not give")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example.com/nothing\n", "main.go": "package main\n\nfunc main() {}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-ldflags=-s -w -buildid=", "-tags="+tags, "-o", "out", ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestAbilitiesOfArchive: what an archive can do is in its names and in what Go wrote into its busybox.
func TestAbilitiesOfArchive(t *testing.T) {
	plain, small := program(t, "goshsmall"), program(t, "noservers,nomerge,noecdsa")
	for _, test := range []struct {
		name, busybox, commands string
		want                    ability.Set
	}{
		{"all", plain, "gosh ddifetch", ability.Unasked()},
		{"little", small, "ddimount", ability.Of(nil, []string{ability.NoMerge})},
		{"a shell", small, "gosh ddifetch", ability.Of([]string{ability.Shell}, []string{ability.NoMerge})},
		{"a busybox that says nothing", "busybox", "ddifetch", ability.Of([]string{ability.Fetch}, nil)},
	} {
		records := []cpio.Record{cpio.StaticFile("bbin/bb", test.busybox, 0o755), cpio.Symlink("bbin/storageinit", "bb"),
			cpio.StaticFile("etc/gosh", "no command", 0o755), cpio.Symlink("usr/bin/gosh", "../../bbin/bb")}
		for _, c := range strings.Fields(test.commands) {
			records = append(records, cpio.Symlink("bbin/"+c, "bb"))
		}
		got, err := abilitiesOf(records)
		if err != nil || got != test.want {
			t.Errorf("%s: %+v, %v, want %+v", test.name, got, err, test.want)
		}
	}
	// A program by itself, beside another one.
	got, err := abilitiesOf([]cpio.Record{cpio.StaticFile("bbin/storageinit", small, 0o755), cpio.StaticFile("bbin/gosh", plain, 0o755)})
	if want := ability.Of([]string{ability.Shell}, []string{ability.NoMerge}); err != nil || got != want {
		t.Errorf("separate programs: %+v, %v, want %+v", got, err, want)
	}
}

// TestAbilitiesOfTemplate: a pattern among the commands may be anything, until they are built.
func TestAbilitiesOfTemplate(t *testing.T) {
	for commands, want := range map[string]ability.Set{
		"example.com/cmds/gosh": ability.Of([]string{ability.Shell}, []string{ability.NoMerge}),
		"example.com/cmds/x":    ability.Of(nil, []string{ability.NoMerge}),
		"example.com/cmds/dd*":  ability.Of([]string{ability.Fetch}, []string{ability.NoMerge}),
		"example.com/cmds/*":    ability.Of([]string{ability.Shell, ability.Fetch}, []string{ability.NoMerge}),
		"./...":                 ability.Of([]string{ability.Shell, ability.Fetch}, []string{ability.NoMerge}),
		"example.com/cmds/x, -example.com/cmds/gosh": ability.Of(nil, []string{ability.NoMerge}),
	} {
		file := filepath.Join(t.TempDir(), "t.yaml")
		if err := os.WriteFile(file, []byte("configs: {x: {build_tags: [nomerge], commands: [{commands: ["+commands+"]}]}}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := (Template{File: file, Config: "x"}).Abilities(); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", commands, got, err, want)
		}
	}
}

// TestConfigBeyondAbilities: a template's settings that its commands cannot keep are no stage 1.
func TestConfigBeyondAbilities(t *testing.T) {
	build := func(settings string, records ...cpio.Record) error {
		_, err := Build(t.Context(), Options{Base: baseArchive(t, append(records, cpio.StaticFile(ConfigFile, settings, 0o644))...), Compression: None}, nil)
		return err
	}
	gosh, fetch := cpio.Symlink("bbin/gosh", "bb"), cpio.Symlink("bbin/ddifetch", "bb")
	for settings, with := range map[string]cpio.Record{"fail=shell\n": gosh, "source=http,esp\n": fetch} {
		if err := build(settings); !errors.Is(err, plan.ErrNotHere) {
			t.Errorf("%q: %v", settings, err)
		}
		if err := build(settings, with); err != nil {
			t.Errorf("%q with %s: %v", settings, with.Name, err)
		}
	}
}
