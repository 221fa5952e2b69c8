// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/signature"
)

func TestJoin(t *testing.T) {
	need(t, "mkfs.erofs", "erofs-utils")
	pair, stranger := signerOf(t), signerOf(t)
	src := tree(t)
	sign := func(p keys.Pair, content string) []byte {
		sig, err := p.Sign(context.Background(), []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	for _, sector := range []int64{512, 4096} {
		t.Run(fmt.Sprint(sector), func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "os.raw")
			res := build(t, Options{Source: src, Output: out, Arch: gpt.X86_64, SectorSize: sector})
			if res.Signed {
				t.Error("it says that it is signed")
			}
			// It is whole without the signature partition, which nothing else has to make room for.
			checkImage(t, out, res, "erofs", sector, pair)
			before := read(t, out)
			good := sign(pair, res.RootHash)
			for _, test := range []struct {
				name string
				sig  []byte
				cert []byte
				want error
			}{
				{"by somebody else", sign(stranger, res.RootHash), read(t, pair.Cert), signature.ErrUnknownSigner},
				{"certificate of somebody else", good, read(t, stranger.Cert), signature.ErrUnknownSigner},
				{"of another root hash", sign(pair, strings.Repeat("ab", 32)), read(t, pair.Cert), signature.ErrBadSignature},
				{"of the root hash with a newline", sign(pair, res.RootHash+"\n"), read(t, pair.Cert), signature.ErrBadSignature},
				{"not a signature", []byte("x"), read(t, pair.Cert), signature.ErrMalformed},
				{"not a certificate", good, []byte("x"), signature.ErrMalformed},
			} {
				if _, err := Join(out, test.sig, test.cert); !errors.Is(err, test.want) {
					t.Errorf("%s: %v, want %v", test.name, err, test.want)
				}
				if !bytes.Equal(before, read(t, out)) {
					t.Fatalf("%s: the image was changed", test.name)
				}
			}
			got, err := Join(out, good, read(t, pair.Cert))
			if err != nil || got != res.RootHash {
				t.Fatalf("%s, %v", got, err)
			}
			res.Signed = true
			checkImage(t, out, res, "erofs", sector, pair)

			// The same as if it had been signed at once.
			der, err := keys.CertificateDER(pair.Cert)
			if err != nil {
				t.Fatal(err)
			}
			at := filepath.Join(t.TempDir(), "os.raw")
			build(t, Options{Source: src, Output: at, Arch: gpt.X86_64, SectorSize: sector, Certificate: der, Signer: func(context.Context, []byte) ([]byte, error) { return good, nil }})
			if !bytes.Equal(read(t, at), read(t, out)) {
				t.Error("joining makes another image than signing")
			}

			// Another signature takes the place of the first, and nothing of that stays.
			if _, err := Join(at, sign(stranger, res.RootHash), read(t, stranger.Cert)); err != nil {
				t.Fatal(err)
			}
			checkImage(t, at, res, "erofs", sector, stranger)
			if _, err := Join(at, good, read(t, pair.Cert)); err != nil || !bytes.Equal(read(t, at), read(t, out)) {
				t.Errorf("something stays of the other signature (%v)", err)
			}
		})
	}
}

// TestJoinShorter puts a signature over a longer one.
func TestJoinShorter(t *testing.T) {
	need(t, "mkfs.erofs", "erofs-utils")
	pair := signerOf(t)
	out := filepath.Join(t.TempDir(), "os.raw")
	res := build(t, Options{Source: tree(t), Output: out, Arch: gpt.X86_64, Signer: func(context.Context, []byte) ([]byte, error) {
		return bytes.Repeat([]byte{0x30}, 8<<10), nil
	}})
	sig, err := pair.Sign(context.Background(), []byte(res.RootHash))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Join(out, sig, read(t, pair.Cert)); err != nil {
		t.Fatal(err)
	}
	checkImage(t, out, res, "erofs", 512, pair)
}

// TestJoinRoom joins into images that others laid out: nothing is moved, and where there is no room the image stays as it is.
func TestJoinRoom(t *testing.T) {
	need(t, "mkfs.erofs", "erofs-utils")
	pair := signerOf(t)
	src := tree(t)
	for _, test := range []struct {
		name string
		edit func(*gpt.Table)
		want string
	}{
		{"no room", func(t *gpt.Table) { t.LastUsable = t.Partitions[1].LastLBA }, "no room for a signature partition"},
		{"the last partition is not the last in the table", func(t *gpt.Table) {
			t.Partitions[0].Number, t.Partitions[1].Number = 5, 2
		}, ""},
		{"two data partitions", func(t *gpt.Table) {
			p := t.Partitions[0]
			p.Number, p.FirstLBA, p.LastLBA = 4, t.Partitions[1].LastLBA+1, t.Partitions[1].LastLBA+8
			t.Partitions = append(t.Partitions, p)
		}, "partitions 1 and 4 are of one kind"},
		{"no hash partition", func(t *gpt.Table) { t.Partitions = t.Partitions[:1] }, "lacks a data or a hash partition"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "os.raw")
			res := build(t, Options{Source: src, Output: out, Arch: gpt.X86_64})
			f, err := os.OpenFile(out, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			table, err := gpt.Read(f, res.Size, 0)
			if err != nil {
				t.Fatal(err)
			}
			test.edit(table)
			if err := gpt.Write(f, res.Size, table); err != nil {
				t.Fatal(err)
			}
			before := read(t, out)
			sig, err := pair.Sign(context.Background(), []byte(res.RootHash))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Join(out, sig, read(t, pair.Cert))
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, wanted %q", err, test.want)
			}
			if !bytes.Equal(before, read(t, out)) {
				t.Error("the image was changed")
			}
		})
	}
}

func TestJoinOther(t *testing.T) {
	pair := signerOf(t)
	name := filepath.Join(t.TempDir(), "x.raw")
	if _, err := Join(name, nil, read(t, pair.Cert)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Join(name, nil, read(t, pair.Cert)); !errors.Is(err, gpt.ErrNoTable) {
		t.Error(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := gpt.Write(f, 1<<20, &gpt.Table{SectorSize: 512}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := Join(name, nil, read(t, pair.Cert)); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}
