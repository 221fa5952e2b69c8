// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package discover_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/signature"
)

// files are a directory in memory. A file "!" cannot be read.
type files map[string]string

func (d files) Read(name string, limit int64) ([]byte, error) {
	text, ok := d[name]
	switch {
	case !ok:
		return nil, fs.ErrNotExist
	case text == "!":
		return nil, syscall.EIO
	case int64(len(text)) > limit:
		return nil, fs.ErrInvalid
	}
	return []byte(text), nil
}

func (d files) Size(name string) (int64, error) {
	b, err := d.Read(name, 1<<40)
	return int64(len(b)), err
}

func TestReadBeside(t *testing.T) {
	h := strings.Repeat("0f", 32)
	for _, test := range []struct {
		name, image string
		files       files
		want        string // designator, root hash, signature, size of the tree, files
		err         error
	}{
		{"nothing", "os.raw", files{"os.raw": "x", "other.roothash": h, "os.roothash.old": h}, " [] 0", nil},
		{"everything", "os.raw", files{"os.roothash": h + "\n", "os.roothash.p7s": "sig", "os.verity": "tree"}, "root " + h + ` "sig" 4 os.roothash os.roothash.p7s os.verity`, nil},
		{"of /usr", "/loader/ddi/os_1.raw", files{"/loader/ddi/os_1.usrhash": h, "/loader/ddi/os_1.usrhash.p7s": "sig"}, "usr " + h + ` "sig" 0 /loader/ddi/os_1.usrhash /loader/ddi/os_1.usrhash.p7s`, nil},
		{"of both: the root's", "os.raw", files{"os.roothash.p7s": "sig", "os.usrhash": h, "os.usrhash.p7s": "other"}, `root  "sig" 0 os.roothash.p7s`, nil},
		{"a name in capitals", "OS.RAW", files{"OS.roothash": h}, "root " + h + " [] 0 OS.roothash", nil},
		{"a name without a suffix", "os", files{"os.roothash": h}, "root " + h + " [] 0 os.roothash", nil},
		{"an empty signature", "os.raw", files{"os.roothash.p7s": ""}, `root  "" 0 os.roothash.p7s`, nil},
		{"an empty tree", "os.raw", files{"os.verity": ""}, " [] 0 os.verity", nil},
		{"half a root hash", "os.raw", files{"os.roothash": h[:32]}, "", signature.ErrMalformed},
		{"a root hash that cannot be read", "os.raw", files{"os.roothash": "!"}, "", syscall.EIO},
		{"a signature that cannot be read", "os.raw", files{"os.usrhash.p7s": "!"}, "", syscall.EIO},
		{"a tree that cannot be read", "os.raw", files{"os.verity": "!"}, "", syscall.EIO},
		{"a signature that is too long", "os.raw", files{"os.roothash.p7s": strings.Repeat("x", 64<<10+1)}, "", fs.ErrInvalid},
	} {
		b, err := discover.ReadBeside(test.files, test.image)
		if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
			t.Errorf("%s: %v, want %v", test.name, err, test.err)
			continue
		}
		if err != nil {
			continue
		}
		sig := "[]"
		if b.Signature != nil {
			sig = fmt.Sprintf("%q", b.Signature)
		}
		got := fmt.Sprintf("%s %x %s %d", b.Designator, b.RootHash, sig, b.Tree)
		if b.Designator == "" {
			got = fmt.Sprintf(" %s %d", sig, b.Tree)
		}
		if got = strings.Join(slices.Concat([]string{got}, b.Files), " "); got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", test.name, got, test.want)
		}
	}
}

func TestComplete(t *testing.T) {
	table := &gpt.Table{}
	tree, none := resolve.Beside{Tree: 1}, resolve.Beside{}
	broken := errors.New("broken")
	for _, test := range []struct {
		name       string
		table      *gpt.Table
		tableErr   error
		beside     resolve.Beside
		wrong, err error
	}{
		{"an image", table, nil, none, nil, nil},
		{"a bare one", nil, gpt.ErrNoTable, tree, nil, nil},
		{"without its tree", nil, gpt.ErrNoTable, none, gpt.ErrNoTable, nil},
		{"an image with one tree too many", table, nil, tree, nil, fs.ErrInvalid},
		{"a broken table beside a tree", nil, broken, tree, broken, nil},
	} {
		if wrong, err := discover.Complete(test.table, test.tableErr, test.beside); !errors.Is(wrong, test.wrong) || !errors.Is(err, test.err) {
			t.Errorf("%s: %v, %v", test.name, wrong, err)
		}
	}
}
