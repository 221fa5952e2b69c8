// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netlab

import (
	"encoding/binary"
	"os"
	"slices"
)

// Of IEEE 802.1Q: two bytes that say that a tag follows, behind the two addresses of six, and the 12 bits of the tag that are the VLAN.
const (
	tagType   = 0x8100
	addresses = 12
	tagSize   = 4
	vlanMask  = 0x0fff
)

// addTag puts a frame into a VLAN.
func addTag(frame []byte, vlan int) []byte {
	if len(frame) < addresses {
		return nil
	}
	tag := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, tagType), uint16(vlan))
	return slices.Concat(frame[:addresses], tag, frame[addresses:])
}

// takeTag takes a frame out of a VLAN. It returns nothing for a frame that is in none or in another.
func takeTag(frame []byte, vlan int) []byte {
	if len(frame) < addresses+tagSize || binary.BigEndian.Uint16(frame[addresses:]) != tagType || int(binary.BigEndian.Uint16(frame[addresses+2:])&vlanMask) != vlan {
		return nil
	}
	return slices.Concat(frame[:addresses], frame[addresses+tagSize:])
}

// forward sends what comes from one device through the other, until one is closed.
func forward(from, to *os.File, change func([]byte) []byte) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if frame := change(buf[:n]); frame != nil {
			// A frame that the other device does not take is lost, as on a cable.
			_, _ = to.Write(frame)
		}
	}
}
