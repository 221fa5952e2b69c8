// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package initramfs

import (
	"bytes"
	"errors"
	"testing"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/plan"
)

// configIn returns the stage1.conf of an archive.
func configIn(t *testing.T, archive []byte) string {
	t.Helper()
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive)))
	if err != nil {
		t.Fatal(err)
	}
	text, found := "", 0
	for _, r := range records {
		if r.Name == ConfigFile {
			b := make([]byte, r.FileSize)
			if _, err := r.ReadAt(b, 0); err != nil {
				t.Fatal(err)
			}
			text, found = string(b), found+1
		}
	}
	if found != 1 {
		t.Fatalf("%d files %s", found, ConfigFile)
	}
	return text
}

// TestTemplateConfig: what a template says of stage1.conf and what the command line says come together.
func TestTemplateConfig(t *testing.T) {
	build := func(template string, config []byte) (*Image, error) {
		return Build(t.Context(), Options{Base: baseArchive(t, cpio.StaticFile(ConfigFile, template, 0o644)), Config: config, Compression: None}, nil)
	}
	for _, test := range []struct {
		template string
		config   []byte
		want     string
	}{
		{"allow-key=a\n", nil, "allow-key=a\n"},
		{"# no end", []byte("id=debian\n"), "# no end\nid=debian\n"},
		{"allow-key=a\n", []byte("allow-key=b\n"), "allow-key=a\nallow-key=b\n"},
	} {
		img, err := build(test.template, test.config)
		if err != nil {
			t.Errorf("%q, %q: %v", test.template, test.config, err)
			continue
		}
		if got := configIn(t, img.Data); got != test.want {
			t.Errorf("%q, %q: %q", test.template, test.config, got)
		}
	}
	if _, err := build("id=a\n", []byte("id=b\n")); !errors.Is(err, plan.ErrRepeated) {
		t.Errorf("a key that both say: %v", err)
	}
	if _, err := build("nonsense=1\n", nil); !errors.Is(err, plan.ErrUnknownKey) {
		t.Errorf("a key that nobody knows: %v", err)
	}
}
