// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netconf

import (
	"testing"

	"github.com/initddi/initddi/internal/linux/rtnetlink"
)

// TestMissingOff: a card that cannot be switched on has no carrier either, and a cable would not help it.
func TestMissingOff(t *testing.T) {
	const why = "cannot switch network device 2 on: no such file or directory"
	for _, c := range []struct {
		card card
		want string
	}{
		{card{link: rtnetlink.Link{Name: "eth0"}, off: why}, "eth0: " + why},
		{card{link: rtnetlink.Link{Name: "eth0"}, off: why, isParent: true}, "eth0: " + why},
		{card{link: rtnetlink.Link{Name: "eth0"}}, "no carrier on eth0"},
		// Somebody else did it meanwhile.
		{card{link: rtnetlink.Link{Name: "eth0", Up: true}, off: why}, "no carrier on eth0"},
	} {
		m := &manager{cards: map[int]*card{2: &c.card}}
		if got := m.missing(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
