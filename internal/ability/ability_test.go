// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ability

import (
	"reflect"
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	const cmds = "github.com/initddi/initddi/cmds/"
	for _, test := range []struct {
		commands, tags string
		want           Set
	}{
		{"storageinit ddimount", "noservers nomerge", Set{}},
		{cmds + "storageinit " + cmds + "sysextmerge", "noservers", Set{merge: true}},
		{cmds + "storageinit " + cmds + "ddifetch", "nomerge nethttpomithttp2", Set{fetch: true}},
		{"storageinit ddifetch", "noservers nomerge", Set{}}, // by hand it can be used all the same
		{"storageinit", "nomerge", Set{}},
		{"storageinit github.com/u-root/u-root/cmds/core/gosh", "noservers nomerge", Set{shell: true}},
		{"storageinit notgosh gosh/x", "nomerge", Set{}},
		{"storageinit gosh ddifetch sysextmerge", "goshsmall", Unasked()},
	} {
		if got := Of(strings.Fields(test.commands), strings.Fields(test.tags)); got != test.want {
			t.Errorf("%s with %s: %+v, want %+v", test.commands, test.tags, got, test.want)
		}
	}
}

// TestInputHasAll: an ability that is added to the plan is not forgotten here.
func TestInputHasAll(t *testing.T) {
	all, none := reflect.ValueOf(Unasked().Input()), reflect.ValueOf(Set{}.Input())
	n := 0
	for i := range all.NumField() {
		field := all.Type().Field(i)
		if field.Type.Kind() != reflect.Bool {
			if !all.Field(i).IsZero() {
				t.Errorf("%s is no ability, and is not empty", field.Name)
			}
			continue
		}
		n++
		if !all.Field(i).Bool() || none.Field(i).Bool() {
			t.Errorf("%s is %v of all abilities and %v of none", field.Name, all.Field(i), none.Field(i))
		}
	}
	if n != reflect.TypeFor[Set]().NumField() {
		t.Errorf("%d abilities in the plan, %d here", n, reflect.TypeFor[Set]().NumField())
	}
}
