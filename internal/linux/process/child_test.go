// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package process

import (
	"io"
	"os"
	"strings"
	"testing"
)

func TestChild(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	c, err := Start([]string{"/bin/sh", "-c", "echo $PWD $HOME >&4; for i in 0 1 2 3 4; do [ ! -e /proc/$$/fd/$i ] || echo $i >&4; done; exit 3"}, []string{"HOME=/there"}, []*os.File{null, null, null, nil, w})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	said, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(strings.Fields(string(said)), " "); got != "/ /there 0 1 2 4" {
		t.Errorf("the program says %q", got)
	}
	if err := c.Wait(); err == nil || err.Error() != "exit status 3" {
		t.Errorf("it ended with %v", err)
	}
	if err := c.Kill(); err != nil {
		t.Errorf("killing one that has ended: %v", err)
	}
	c, err = Start([]string{"/bin/sh", "-c", "sleep 1000"}, nil, []*os.File{null, null, null})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(); err != nil {
		t.Error(err)
	}
	if err := c.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("it ended with %v", err)
	}
	if _, err := Start([]string{"/nothing/here"}, nil, nil); err == nil || !strings.Contains(err.Error(), "cannot run /nothing/here") {
		t.Error(err)
	}
}
