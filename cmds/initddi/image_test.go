// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImageFiles: an image lies where stage 1 looks for it, and one that it would not find is an error.
func TestImageFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"OS_1.raw", "OS_2.RAW", "os.img"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := imageFiles(list{filepath.Join(dir, "OS_1.raw"), filepath.Join(dir, "OS_2.RAW")})
	if err != nil || len(files) != 2 || files[0].Name != "ddi/OS_1.raw" || files[1].Name != "ddi/OS_2.RAW" || string(files[1].Data) != "OS_2.RAW" || files[0].Mode != 0o444 {
		t.Errorf("%+v, %v", files, err)
	}
	for name, want := range map[string]string{"os.img": "looks for files *.raw", "none.raw": "no such file"} {
		if _, err := imageFiles(list{filepath.Join(dir, name)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if files, err := imageFiles(nil); err != nil || files != nil {
		t.Errorf("without: %+v, %v", files, err)
	}
}
