// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package housetest

import (
	"os"
	"os/exec"
	"testing"
)

// TestTags compiles stage 1 as the templates do that leave something out: nothing else would, before somebody builds one.
func TestTags(t *testing.T) {
	for _, tags := range []string{"noservers", "nomerge", "noecdsa,noed25519", "noservers,nomerge,noecdsa,noed25519"} {
		cmd := exec.Command("go", "build", "-tags="+tags, "-o", os.DevNull, "../../cmds/storageinit")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("with the tags %s: %v\n%s", tags, err, out)
		}
	}
}
