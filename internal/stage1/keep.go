// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !noservers

package stage1

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/initddi/initddi/internal/linux/nbd"
	"github.com/initddi/initddi/internal/resolve"
)

// goWithImage arranges that the device of an image that is entered is disconnected when the image is given up, as a loop device goes. Not
// before: whoever opened and closed the device while nothing lay on it would have ended it.
func (b *boot) goWithImage(a *resolve.Action) {
	if b.servers == nil {
		return
	}
	d, ok := b.servers.devices[a.Name()]
	if !ok {
		return
	}
	if err := disconnectOnClose(b.world, d.Node); err != nil {
		b.log.Warn("%v: it stays connected when nobody uses it any more", err)
	}
}

func disconnectOnClose(w *World, node string) error {
	index, err := strconv.Atoi(strings.TrimPrefix(node, "nbd"))
	if err != nil {
		return fmt.Errorf("cannot tell which device %s is: %w", node, err)
	}
	// The kernel wants to hear what the device was made of; before Linux 5.14 it does not know.
	backend, _ := w.Sys.ReadFile("class/block/" + node + "/backend")
	control, err := nbd.Open()
	if err != nil {
		return err
	}
	defer control.Close()
	return control.DisconnectOnClose(index, strings.TrimSuffix(string(backend), "\n"))
}
