// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package linetables

import (
	"bytes"
	"debug/elf"
	"debug/gosym"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// call is a function of a stack trace, with whatever a log puts in front of its lines, and the place in it on the line below.
var call = regexp.MustCompile(`([^\s(]+(?:\(\*?[^\s()]+\)[^\s(]*)*)(?:\([^\n]*\)|( in goroutine \d+))\n([^\n]*)\?:0 \+0x([0-9a-f]{1,8})`)

// Restore puts file names and line numbers into a stack trace of a program without them. program was built from the same sources with
// the same Go, and has them. What it does not know stays as it is.
func Restore(program []byte, trace string) (string, error) {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return "", fmt.Errorf("cannot read the program: %w", err)
	}
	section, text := f.Section(".gopclntab"), f.Section(".text")
	if section == nil || text == nil {
		return "", fmt.Errorf("cannot read the program: %w: no section .gopclntab", ErrUnknown)
	}
	data, err := section.Data()
	if err != nil {
		return "", fmt.Errorf("cannot read the program: %w", err)
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(data, text.Addr))
	if err != nil {
		return "", fmt.Errorf("cannot read the program: %w", err)
	}
	return call.ReplaceAllStringFunc(trace, func(s string) string {
		m := call.FindStringSubmatch(s)
		offset, err := strconv.ParseUint(m[4], 16, 32)
		f := table.LookupFunc(m[1])
		if err != nil || f == nil || offset == 0 || f.Entry+offset > f.End {
			return s
		}
		file, line, _ := table.PCToLine(f.Entry + offset - 1) // of the call, and not of what comes after it
		if line <= 0 {
			return s
		}
		i := strings.LastIndex(s, "?:0 ")
		return s[:i] + fmt.Sprintf("%s:%d ", file, line) + s[i+len("?:0 "):]
	}), nil
}
