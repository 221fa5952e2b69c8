// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package osrelease

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const debian = `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
HOME_URL="https://www.debian.org/"
SUPPORT_URL="https://www.debian.org/support"
BUG_REPORT_URL="https://bugs.debian.org/"
`

func TestParse(t *testing.T) {
	f, err := Parse([]byte(debian))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"BUG_REPORT_URL", "HOME_URL", "ID", "NAME", "PRETTY_NAME", "SUPPORT_URL", "VERSION", "VERSION_CODENAME", "VERSION_ID"}
	if got := f.Keys(); !slices.Equal(got, want) {
		t.Errorf("Keys = %q, want %q", got, want)
	}
	for key, want := range map[string]string{
		"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)", "HOME_URL": "https://www.debian.org/",
		"IMAGE_ID": "", "id": "", "": "",
	} {
		if got := f.Get(key); got != want {
			t.Errorf("Get(%q) = %q, want %q", key, got, want)
		}
	}
	if d := f.Duplicates(); len(d) != 0 {
		t.Errorf("Duplicates = %q", d)
	}
}

func TestLines(t *testing.T) {
	tests := []struct{ line, key, value string }{
		{``, "", ""},
		{" \t", "", ""},
		{`#ID=x`, "", ""},
		{"  # comment, $(x) `y` \" '", "", ""},
		{"# \xff\x00", "", ""},
		{`ID=`, "ID", ""},
		{`ID=""`, "ID", ""},
		{`ID=''`, "ID", ""},
		{`ID=a`, "ID", "a"},
		{" \tID=a\t ", "ID", "a"},
		{`ID="a b"  `, "ID", "a b"},
		{`id_2=a`, "id_2", "a"},
		{`_=a`, "_", "a"},
		{`A=b=c`, "A", "b=c"},
		{`A=1.0~rc1-2+x/y:z,@%#{}[]*?!^`, "A", "1.0~rc1-2+x/y:z,@%#{}[]*?!^"},
		{`A=a\ b\\c\"d\'e\$f\;g\h\~`, "A", `a b\c"d'e$f;gh~`},
		{`A=\~a:\~`, "A", `~a:~`},
		{`A="a\"b\\c\$d\` + "`" + `e"`, "A", `a"b\c$d` + "`" + `e`},
		{`A="a\nb\'c\ d"`, "A", `a\nb\'c\ d`},
		{`A="'x' ; # & ~"`, "A", `'x' ; # & ~`},
		{`A='a\b"c$d` + "`" + `e\'`, "A", `a\b"c$d` + "`" + `e\`},
		{`A="\\"`, "A", `\`},
		{`A="Grüße"`, "A", "Grüße"},
		{`ANSI_COLOR="0;38;2;60;110;180"`, "ANSI_COLOR", "0;38;2;60;110;180"},
		{`CPE_NAME=cpe:/o:fedoraproject:fedora:39`, "CPE_NAME", "cpe:/o:fedoraproject:fedora:39"},
	}
	for _, tt := range tests {
		f, err := Parse([]byte(tt.line))
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.line, err)
			continue
		}
		if tt.key == "" {
			if len(f.Keys()) != 0 {
				t.Errorf("Parse(%q) has keys %q", tt.line, f.Keys())
			}
			continue
		}
		if got, ok := f.Lookup(tt.key); !ok || got != tt.value || len(f.Keys()) != 1 {
			t.Errorf("Parse(%q): %q = %q, %t, want %q", tt.line, tt.key, got, ok, tt.value)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	tests := []struct{ line, text string }{
		{`ID`, `no "="`},
		{`ID debian`, `no "="`},
		{`=x`, "invalid name"},
		{`ID =x`, "invalid name"},
		{`export ID=x`, "invalid name"},
		{`2A=x`, "invalid name"},
		{`A-B=x`, "invalid name"},
		{`Ä=x`, "invalid name"},
		{"\ufeffID=x", "invalid name"},
		{`;ID=x`, "invalid name"},
		{`ID= x`, "white space"},
		{`ID=a b`, "white space"},
		{`ID=a # comment`, "white space"},
		{`ID=a;b`, "shell character"},
		{`ID=a|b`, "shell character"},
		{`ID=a&b`, "shell character"},
		{`ID=a<b`, "shell character"},
		{`ID=a>b`, "shell character"},
		{`ID=a(b`, "shell character"},
		{`ID=a)b`, "shell character"},
		{`ID=a"b"`, "quote"},
		{`ID=a'b'`, "quote"},
		{`ID=$x`, `"$"`},
		{"ID=`x`", `"$"`},
		{`ID="$x"`, `"$"`},
		{"ID=\"`x`\"", `"$"`},
		{`ID=~`, `"~"`},
		{`ID=a:~b`, `"~"`},
		{`ID="a`, "not closed"},
		{`ID="a\"`, "not closed"},
		{`ID="a\`, "not closed"},
		{`ID='a`, "not closed"},
		{`ID="`, "not closed"},
		{`ID='`, "not closed"},
		{`ID="a"b`, "behind the closing quote"},
		{`ID="a" # b`, "behind the closing quote"},
		{`ID="a""b"`, "behind the closing quote"},
		{`ID='a''b'`, "behind the closing quote"},
		{`ID='a' 'b'`, "behind the closing quote"},
		{`ID=a\`, "backslash at the end"},
		{"ID=a\r", "control character 0x0d"},
		{"ID=a\x00", "control character 0x00"},
		{"ID=\"a\tb\"", "control character 0x09"},
		{"ID='\x7f'", "control character 0x7f"},
		{"ID=\xff", "UTF-8"},
	}
	for _, tt := range tests {
		f, err := Parse([]byte("# first\nNAME=x\n" + tt.line + "\nVERSION=1\n"))
		var se *SyntaxError
		if !errors.As(err, &se) || se.Line != 3 || !strings.Contains(se.Reason, tt.text) {
			t.Errorf("%q: error %v, want line 3 and %q", tt.line, err, tt.text)
		}
		if len(f.Keys()) != 0 {
			t.Errorf("%q: fields together with an error", tt.line)
		}
	}
	_, err := Parse([]byte("ID\n"))
	if got, want := fmt.Sprint(err), `cannot parse os-release line 1: no "="`; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}

func TestDuplicates(t *testing.T) {
	f, err := Parse([]byte("ID=a\nVERSION_ID=1\nID=b\nIMAGE_ID=x\nVERSION_ID=1\nID=c\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Duplicates(); !slices.Equal(got, []string{"ID", "VERSION_ID"}) {
		t.Errorf("Duplicates = %q", got)
	}
	if got := f.Get("ID"); got != "c" {
		t.Errorf("ID = %q, want the last one, %q", got, "c")
	}
	if got := f.Keys(); !slices.Equal(got, []string{"ID", "IMAGE_ID", "VERSION_ID"}) {
		t.Errorf("Keys = %q", got)
	}
	f.Duplicates()[0] = "x"
	if got := f.Duplicates()[0]; got != "ID" {
		t.Errorf("the caller can change Duplicates to %q", got)
	}
}

func TestLimits(t *testing.T) {
	if _, err := Parse(make([]byte, MaxSize+1)); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "262145 bytes") {
		t.Errorf("too many bytes: %v", err)
	}
	if _, err := Parse([]byte(strings.Repeat("\n", MaxLines+1))); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "1000 lines") {
		t.Errorf("too many lines: %v", err)
	}
	var b strings.Builder
	for i := range MaxLines {
		fmt.Fprintf(&b, "K%d=%s\n", 999-i, strings.Repeat("x", 250))
	}
	f, err := Parse([]byte(b.String()))
	if err != nil || len(f.Keys()) != MaxLines || f.Get("K500") != strings.Repeat("x", 250) {
		t.Errorf("most lines: %d keys, %v", len(f.Keys()), err)
	}
	var zero Fields
	if _, ok := zero.Lookup("ID"); ok || zero.Get("ID") != "" || len(zero.Keys()) != 0 || len(zero.Duplicates()) != 0 {
		t.Error("the zero value is not empty")
	}
	if f, err := Parse(nil); err != nil || len(f.Keys()) != 0 {
		t.Errorf("empty file: %q, %v", f.Keys(), err)
	}
}

// TestShell checks that a shell reads every line that Parse takes in the same way.
func TestShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("needs sh (Debian package dash)")
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	const alphabet = `aabZ1  \\\""''$~:#=;.-{}*?!` + "`é"
	runes := []rune(alphabet)
	var file, script strings.Builder
	var want []string
	dir := t.TempDir()
	fmt.Fprintf(&script, ". %s\n", filepath.Join(dir, "os-release"))
	for i := 0; len(want) < 1000; i++ {
		if i == 1_000_000 {
			t.Fatalf("only %d of %d lines are valid", len(want), i)
		}
		value := make([]rune, rnd.IntN(9))
		for j := range value {
			value[j] = runes[rnd.IntN(len(runes))]
		}
		text := string(value)
		switch rnd.IntN(4) {
		case 0:
			text = `"` + text + `"`
		case 1:
			text = `'` + text + `'`
		}
		line := fmt.Sprintf("K%d=%s\n", len(want), text)
		f, err := Parse([]byte(line))
		if err != nil {
			continue
		}
		file.WriteString(line)
		fmt.Fprintf(&script, "printf '%%s\\n' \"$K%d\"\n", len(want))
		want = append(want, f.Get(fmt.Sprintf("K%d", len(want))))
	}
	if err := os.WriteFile(filepath.Join(dir, "os-release"), []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(sh, "-u")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(script.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(got) != len(want) {
		t.Fatalf("the shell printed %d values, want %d", len(got), len(want))
	}
	lines := strings.Split(file.String(), "\n")
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s: shell has %q, Parse %q", lines[i], got[i], want[i])
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(debian))
	f.Add([]byte("ID=a\nID='b'\n# c\n\nA=\"\\$x\\y\"\nB=a\\ b"))
	f.Add([]byte("ID=\"a"))
	f.Add([]byte("ID=a\\"))
	f.Add([]byte("A='x'y\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Parse(b)
		if err != nil {
			var se *SyntaxError
			if !errors.As(err, &se) && !errors.Is(err, ErrTooLarge) {
				t.Errorf("error of no kind: %v", err)
			}
			if se != nil && (se.Line < 1 || se.Line > strings.Count(string(b), "\n")+1 || se.Reason == "") {
				t.Errorf("line %d of %q: %q", se.Line, b, se.Reason)
			}
			return
		}
		// Written in single quotes, or escaped where that cannot be, every value comes back.
		var again strings.Builder
		for _, key := range got.Keys() {
			value := got.Get(key)
			if strings.Contains(value, "'") {
				value = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(value) + `"`
			} else {
				value = "'" + value + "'"
			}
			fmt.Fprintf(&again, "%s=%s\n", key, value)
		}
		if again.Len() > MaxSize {
			return
		}
		second, err := Parse([]byte(again.String()))
		if err != nil {
			t.Fatalf("%q written as %q: %v", b, again.String(), err)
		}
		if !slices.Equal(got.Keys(), second.Keys()) || len(second.Duplicates()) != 0 {
			t.Errorf("%q: keys %q, then %q", b, got.Keys(), second.Keys())
		}
		for _, key := range got.Keys() {
			if got.Get(key) != second.Get(key) {
				t.Errorf("%q: %s is %q, then %q", b, key, got.Get(key), second.Get(key))
			}
		}
		for _, key := range got.Duplicates() {
			if _, ok := got.Lookup(key); !ok || strings.Count(string(b), key+"=") < 2 {
				t.Errorf("%q: %q is no duplicate", b, key)
			}
		}
	})
}
