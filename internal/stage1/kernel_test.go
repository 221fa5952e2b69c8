// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"testing"

	"github.com/initddi/initddi/internal/discover/machinetest"
)

func TestKernelFacts(t *testing.T) {
	m := machinetest.New(t)
	w, err := Open(m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if k := kernelFacts(w); k.Certificates != nil || k.RequiresSignatures {
		t.Errorf("a kernel that says nothing: %+v", k)
	}
	m.Write("proc/keys", "0a1bd6b5 I------     1 perm 1f030000     0     0 asymmetri CA: 6cce: X509.rsa 6cce []\n")
	if k := kernelFacts(w); k.Certificates != nil {
		t.Errorf("a dm-verity that cannot check: %+v", k)
	}
	m.Write("sys/module/dm_verity/parameters/require_signatures", "Y\n")
	if k := kernelFacts(w); len(k.Certificates) != 1 || k.Certificates[0] != "6cce" || !k.RequiresSignatures {
		t.Errorf("got %+v", k)
	}
}
