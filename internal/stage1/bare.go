// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/linux/process"
)

// asideBare has another process say why disks have no partitions. Opening a disk waits until the kernel has looked for partitions on it
// (block/bdev.c, open_mutex), and from there nothing can call a thread back: process 1 could not become the next init.
const asideBare = "--bare"

// bareEnd is the line behind the last disk.
const bareEnd = "."

// bareAside returns, by node name, what there is to say of disks on which the kernel found no partition.
func (d *devices) bareAside() map[string]error {
	r, w, err := os.Pipe()
	if err != nil {
		d.log.Debug("%v", err)
		return nil
	}
	defer r.Close()
	err = process.StartSelfInto(selfAside(asideBare), w)
	w.Close()
	if err == nil {
		err = r.SetReadDeadline(time.Now().Add(2 * discover.Patience))
	}
	if err != nil {
		d.log.Debug("%v", err)
		return nil
	}
	return readBare(r)
}

// readBare reads what the other process writes, until its end or an error.
func readBare(r io.Reader) map[string]error {
	out := map[string]error{}
	for lines := bufio.NewScanner(r); lines.Scan() && lines.Text() != bareEnd; {
		if node, text, ok := strings.Cut(lines.Text(), " "); ok {
			out[node] = errors.New(text)
		}
	}
	return out
}

// sayBare is what that process does.
func sayBare(w io.Writer, m *discover.Machine) error {
	var b strings.Builder
	for node, err := range m.Bare() {
		if err != nil {
			fmt.Fprintf(&b, "%s %s\n", node, strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	_, err := io.WriteString(w, b.String()+bareEnd+"\n")
	return err
}
