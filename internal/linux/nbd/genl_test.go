// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package nbd

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAttrs(t *testing.T) {
	list := appendString(appendUint64(appendUint32(nil, 1, 7), 2, 1<<40), 10, "ab")
	// struct nlattr: length with its own four bytes, type, value, padding to four bytes.
	want := []byte{8, 0, 1, 0, 7, 0, 0, 0, 12, 0, 2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 7, 0, 10, 0, 'a', 'b', 0, 0}
	if !bytes.Equal(list, want) {
		t.Errorf("got % x\nwant % x", list, want)
	}
	got, err := parseAttrs(appendAttr(nil, 7|nestedBit, list))
	if err != nil || len(got) != 1 || got[0].kind != 7 {
		t.Fatalf("%v, %v", got, err)
	}
	inner, err := parseAttrs(got[0].value)
	if err != nil || len(inner) != 3 {
		t.Fatalf("%v, %v", inner, err)
	}
	if v, ok := find(inner, 10, 3); !ok || string(v) != "ab\x00" {
		t.Errorf("%q, %v", v, ok)
	}
	if _, ok := find(inner, 1, 5); ok {
		t.Error("an attribute of four bytes was taken for one of five")
	}
	for _, b := range [][]byte{{1}, {3, 0, 1, 0}, {9, 0, 1, 0, 7, 0, 0, 0}, {8, 0, 1, 0, 7, 0, 0, 0, 0}} {
		if _, err := parseAttrs(b); !errors.Is(err, errMessage) {
			t.Errorf("% x: %v", b, err)
		}
	}
}

func TestReplies(t *testing.T) {
	m := message(30, unix.NLM_F_ACK, 5, 1, 1, appendUint32(nil, 1, 7))
	want := []byte{28, 0, 0, 0, 30, 0, 5, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 8, 0, 1, 0, 7, 0, 0, 0}
	if !bytes.Equal(m, want) {
		t.Errorf("got % x\nwant % x", m, want)
	}
	ack := []byte{20, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0xea, 0xff, 0xff, 0xff}
	got, err := parseReplies(append(m, ack...))
	if err != nil || len(got) != 2 || got[0].family != 30 || got[0].command != 1 || got[0].sequence != 5 || got[1].family != unix.NLMSG_ERROR || got[1].sequence != 5 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, b := range [][]byte{m[:15], m[:27], {15, 0, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {18, 0, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}} {
		if _, err := parseReplies(b); !errors.Is(err, errMessage) {
			t.Errorf("% x: %v", b, err)
		}
	}
}

func TestLinks(t *testing.T) {
	group := appendAttr(nil, 1|nestedBit, appendString(appendUint32(nil, unix.CTRL_ATTR_MCAST_GRP_ID, 9), unix.CTRL_ATTR_MCAST_GRP_NAME, "nbd_mc_group"))
	other := appendAttr(nil, 2|nestedBit, appendString(appendUint32(nil, unix.CTRL_ATTR_MCAST_GRP_ID, 8), unix.CTRL_ATTR_MCAST_GRP_NAME, "nbd_mc_grou"))
	answer, err := parseAttrs(appendAttr(nil, unix.CTRL_ATTR_MCAST_GROUPS|nestedBit, append(other, group...)))
	if err != nil || findGroup(answer) != 9 {
		t.Errorf("group %d, %v", findGroup(answer), err)
	}
	if g := findGroup(nil); g != 0 {
		t.Errorf("group %d of none", g)
	}
	dead := message(30, 0, 0, cmdLinkDead, version, appendUint32(nil, attrIndex, 3))
	others := append(message(31, 0, 0, cmdLinkDead, version, appendUint32(nil, attrIndex, 4)), message(30, 0, 0, cmdConnect, version, appendUint32(nil, attrIndex, 5))...)
	if got := deadLinks(30, append(others, dead...)); len(got) != 1 || got[0] != 3 {
		t.Errorf("%v", got)
	}
	if got := deadLinks(30, dead[:20]); got != nil {
		t.Errorf("%v", got)
	}
}

func FuzzReplies(f *testing.F) {
	f.Add(message(30, unix.NLM_F_ACK, 5, 1, 1, appendSockets(appendUint32(nil, 1, 7), nil)))
	f.Add([]byte{20, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0xea, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		replies, err := parseReplies(b)
		if err != nil {
			return
		}
		for _, r := range replies {
			attrs, err := parseAttrs(r.body)
			total := 0
			for _, a := range attrs {
				total += len(a.value) + unix.NLA_HDRLEN
			}
			if err == nil && total > len(r.body) {
				t.Errorf("%d bytes of attributes in %d", total, len(r.body))
			}
		}
	})
}

// TestOpen: a kernel has the driver, or that is said.
func TestOpen(t *testing.T) {
	c, err := Open()
	if err == nil {
		c.Close()
	} else if !errors.Is(err, ErrNoDriver) {
		t.Error(err)
	}
}
