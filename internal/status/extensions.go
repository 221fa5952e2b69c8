// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package status

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/report"
)

// extensions says in a line each which extensions a report names, and which were left out and why. What a line has is what the report says: a name
// first, the rest as it stands there, so that a key which comes later is shown as well.
func extensions(text []byte) (out, leftOut []string) {
	var b struct {
		Extensions []json.RawMessage `json:"extensions"`
		LeftOut    []report.Entry    `json:"left_out"`
	}
	if json.Unmarshal(text, &b) != nil {
		return nil, nil
	}
	for _, e := range b.LeftOut {
		leftOut = append(leftOut, refusal(e))
	}
	for _, raw := range b.Extensions {
		var name string
		if json.Unmarshal(raw, &name) == nil {
			out = append(out, name)
			continue
		}
		var fields map[string]any
		if json.Unmarshal(raw, &fields) == nil {
			out = append(out, extension(fields))
		}
	}
	return out, leftOut
}

// refusal says why something was refused.
func refusal(e report.Entry) string { return cmp.Or(e.Text, e.Candidate+" ("+e.Rule+")") }

// extension joins the fields of one that are a word or a number: lists of extents are nothing for people.
func extension(fields map[string]any) string {
	var words []string
	for _, key := range []string{"name", "class", "path"} {
		if s, ok := fields[key].(string); ok && s != "" {
			words = append(words, s)
		}
		delete(fields, key)
	}
	var rest []string
	for key, value := range fields {
		switch value.(type) {
		case string, float64, bool:
			if value != "" {
				rest = append(rest, fmt.Sprintf("%s=%v", key, value))
			}
		}
	}
	slices.Sort(rest)
	return strings.Join(append(words, rest...), " ")
}
