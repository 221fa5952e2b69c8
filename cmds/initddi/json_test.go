// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/program"
	"github.com/initddi/initddi/internal/signature"
)

// TestJSON makes keys, an image, a signature for it, settings and a disk, and reads what each verb says of it.
func TestJSON(t *testing.T) {
	dir := t.TempDir()
	p := func(name string) string { return filepath.Join(dir, name) }
	// say runs a verb and returns the object that it printed.
	say := func(args ...string) map[string]any {
		t.Helper()
		out, err := os.Create(p("stdout"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		err = run(context.Background(), environment{Stdin: os.Stdin, Stdout: out, Stderr: os.Stderr}, append(args, "--json"))
		if errors.Is(err, program.ErrMissing) {
			t.Skip("needs ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatalf("%s prints %q: %v", args[0], b, err)
		}
		return v
	}
	want := func(verb string, got map[string]any, pairs ...any) {
		t.Helper()
		for i := 0; i < len(pairs); i += 2 {
			if fmt.Sprint(got[pairs[i].(string)]) != fmt.Sprint(pairs[i+1]) {
				t.Errorf("%s says %v, want %s=%v", verb, got, pairs[i], pairs[i+1])
			}
		}
	}
	size := func(name string) float64 {
		t.Helper()
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return float64(info.Size())
	}
	say("keys", p("keys"))
	pair := keys.In(p("keys"), keys.Image)
	if err := os.MkdirAll(p("tree/etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	made := say("ddi", "--output", p("os.raw"), p("tree"))
	want("ddi", made, "signed", false, "size", size(p("os.raw")))
	rootHash, err := hex.DecodeString(fmt.Sprint(made["roothash"]))
	if err != nil {
		t.Fatal(err)
	}
	der, err := pair.Sign(context.Background(), signature.Content(rootHash))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"sig": string(der), "initddi.conf": "log=debug\n"} {
		if err := os.WriteFile(p(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want("join", say("join", "--signature", p("sig"), "--cert", pair.Cert, p("os.raw")), "output", p("os.raw"), "roothash", made["roothash"], "signed", true)
	want("sign", say("sign", "--key", pair.Key, "--cert", pair.Cert, p("initddi.conf")), "output", p("initddi.conf.p7s"), "size", size(p("initddi.conf.p7s")))
	disk := say("disk", "--output", p("disk.img"), "--image", "/loader/ddi/os.raw="+p("os.raw"))
	want("disk", disk, "output", p("disk.img"), "size", size(p("disk.img")))
	espOf, _ := disk["esp"].(map[string]any)
	inside, _ := say("inspect", p("disk.img"))["disk"].(map[string]any)
	parts, _ := inside["partitions"].([]any)
	if len(parts) != 1 || len(espOf) != 3 {
		t.Fatalf("inspect says %v, disk says of its ESP %v", inside, espOf)
	}
	seen, _ := parts[0].(map[string]any)
	want("disk", espOf, "uuid", seen["uuid"], "offset", seen["offset"], "size", seen["size"])
}
