// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedBoots: a boot that the documentation names, as *name* or *beginning-…* behind the word, exists.
func TestDocumentedBoots(t *testing.T) {
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range Cells() {
		names = append(names, c.Name)
	}
	list, name := regexp.MustCompile(`\bboots? \*[^*|]+\*(?:(?:,| and) \*[^*|]+\*)*`), regexp.MustCompile(`\*([^*]+)\*`)
	n := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list.FindAllString(string(b), -1) {
			for _, found := range name.FindAllStringSubmatch(m, -1) {
				n++
				beginning, some := strings.CutSuffix(found[1], "…")
				if !slices.ContainsFunc(names, func(s string) bool { return s == beginning || some && strings.HasPrefix(s, beginning) }) {
					t.Errorf("%s names the boot %s, which does not exist", file, found[1])
				}
			}
		}
	}
	if n < 40 {
		t.Errorf("the documentation names %d boots", n)
	}
}
