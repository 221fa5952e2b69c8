// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package jsontext

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrType says that a value's type is not one that reports are made of.
var ErrType = errors.New("no JSON for this type")

// Marshal returns v as encoding/json writes it: on one line if indent is empty, else a line a value, with indent for each level.
//
// Reports are made of structs (exported fields, with encoding/json's tags: a name, omitempty, "-"), pointers, slices,
// arrays, maps with strings for keys, strings, booleans, integers, interfaces holding one of those, and whatever has
// MarshalText. The error wraps [ErrType] for anything else; byte slices and embedded structs are among that.
func Marshal(v any, indent string) ([]byte, error) {
	w := writer{indent: indent}
	if err := w.value(reflect.ValueOf(v)); err != nil {
		return nil, fmt.Errorf("cannot write JSON: %w", err)
	}
	return w.out, nil
}

type writer struct {
	out    []byte
	indent string
	depth  int
}

func (w *writer) value(v reflect.Value) error {
	if !v.IsValid() {
		w.out = append(w.out, "null"...)
		return nil
	}
	k := v.Kind()
	if (k == reflect.Pointer || k == reflect.Interface || k == reflect.Slice || k == reflect.Map) && v.IsNil() {
		w.out = append(w.out, "null"...)
		return nil
	}
	if t, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := t.MarshalText()
		w.out = appendQuoted(w.out, string(text))
		return err
	}
	switch k {
	case reflect.Pointer, reflect.Interface:
		return w.value(v.Elem())
	case reflect.Bool:
		w.out = strconv.AppendBool(w.out, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.out = strconv.AppendInt(w.out, v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		w.out = strconv.AppendUint(w.out, v.Uint(), 10)
	case reflect.String:
		w.out = appendQuoted(w.out, v.String())
	case reflect.Struct:
		return w.structure(v)
	case reflect.Map:
		return w.table(v)
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return fmt.Errorf("%w: %s", ErrType, v.Type())
		}
		return w.list('[', ']', v.Len(), func(i int) error { return w.value(v.Index(i)) })
	default:
		return fmt.Errorf("%w: %s", ErrType, v.Type())
	}
	return nil
}

func (w *writer) structure(v reflect.Value) error {
	type field struct {
		name string
		v    reflect.Value
	}
	var fields []field
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			return fmt.Errorf("%w: %s has an embedded field", ErrType, v.Type())
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" || options == "omitempty" && isEmpty(v.Field(i)) {
			continue
		}
		if name == "" {
			name = f.Name
		}
		fields = append(fields, field{name, v.Field(i)})
	}
	return w.list('{', '}', len(fields), func(i int) error { return w.member(fields[i].name, fields[i].v) })
}

// isEmpty is what encoding/json means by it: a struct is never empty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Array:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

func (w *writer) table(v reflect.Value) error {
	if v.Type().Key().Kind() != reflect.String {
		return fmt.Errorf("%w: %s", ErrType, v.Type())
	}
	keys := v.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	return w.list('{', '}', len(keys), func(i int) error { return w.member(keys[i].String(), v.MapIndex(keys[i])) })
}

func (w *writer) member(name string, v reflect.Value) error {
	w.out = append(appendQuoted(w.out, name), ':')
	if w.indent != "" {
		w.out = append(w.out, ' ')
	}
	return w.value(v)
}

func (w *writer) list(begin, end byte, n int, element func(int) error) error {
	w.out = append(w.out, begin)
	w.depth++
	for i := range n {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.newLine()
		if err := element(i); err != nil {
			return err
		}
	}
	w.depth--
	if n > 0 {
		w.newLine()
	}
	w.out = append(w.out, end)
	return nil
}

func (w *writer) newLine() {
	if w.indent == "" {
		return
	}
	w.out = append(w.out, '\n')
	for range w.depth {
		w.out = append(w.out, w.indent...)
	}
}

// appendQuoted quotes s. Like encoding/json it escapes what would end a script in a web page, and replaces what is not UTF-8.
func appendQuoted(out []byte, s string) []byte {
	out = append(out, '"')
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		s = s[n:]
		if r == utf8.RuneError && n == 1 {
			out = appendEscape(out, r)
			continue
		}
		switch r {
		case '"', '\\':
			out = append(out, '\\', byte(r))
		case '\b':
			out = append(out, `\b`...)
		case '\f':
			out = append(out, `\f`...)
		case '\n':
			out = append(out, `\n`...)
		case '\r':
			out = append(out, `\r`...)
		case '\t':
			out = append(out, `\t`...)
		case '<', '>', '&', '\u2028', '\u2029':
			out = appendEscape(out, r)
		default:
			if r < ' ' {
				out = appendEscape(out, r)
			} else {
				out = utf8.AppendRune(out, r)
			}
		}
	}
	return append(out, '"')
}

func appendEscape(out []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(out, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}
