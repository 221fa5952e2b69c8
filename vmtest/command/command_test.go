// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package command

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestStatus(t *testing.T) {
	for want, list := range [][]error{{nil, flag.ErrHelp}, {ErrFailed, fmt.Errorf("2 of 3: %w", ErrFailed)}, {errors.New("no kernel"), os.ErrNotExist}} {
		for _, err := range list {
			if got := Status(err); got != want {
				t.Errorf("%v: %d, want %d", err, got, want)
			}
		}
	}
}

func TestParse(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	o, err := Parse("x", "cells", "", []string{"--only", "a,b", "--json", "-j", "3", "--build", "out"})
	if err != nil || *o != (Options{Only: "a,b", JSON: true, Parallel: 3, Build: filepath.Join(here, "out"), Module: here}) {
		t.Errorf("%+v, %v", o, err)
	}
	for _, bad := range [][]string{{"cell"}, {"-j", "0"}, {"--nonsense"}} {
		if o, err := Parse("x", "cells", "", bad); err == nil {
			t.Errorf("%q: %+v", bad, o)
		}
	}
}
