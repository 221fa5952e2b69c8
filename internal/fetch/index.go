// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/index"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/signature"
	"github.com/initddi/initddi/internal/version"
	"github.com/initddi/initddi/internal/weburl"
)

// ErrRefused says that an index is not acceptable: nobody who is trusted signed it, or it does not have the format.
var ErrRefused = errors.New("the index is not acceptable")

// maxSignature bounds the signature of an index, as of an image.
const maxSignature = 64 << 10

// Memory is a [Target] in memory.
type Memory []byte

// WriteAt implements [io.WriterAt]; it writes at the end only.
func (m *Memory) WriteAt(b []byte, off int64) (int, error) {
	if off != int64(len(*m)) {
		return 0, fs.ErrInvalid
	}
	*m = append(*m, b...)
	return len(b), nil
}

// Truncate implements [Target].
func (m *Memory) Truncate(size int64) error {
	if size > int64(len(*m)) {
		return fs.ErrInvalid
	}
	*m = (*m)[:size]
	return nil
}

// Small fetches a file of at most limit bytes into memory. The error is that of [Client.Get].
func (c *Client) Small(ctx context.Context, u weburl.URL, limit int64) ([]byte, error) {
	var m Memory
	if _, err := c.Get(ctx, File{URLs: []weburl.URL{u}, Limit: limit}, &m); err != nil {
		return nil, err
	}
	return m, nil
}

// Index is what a web server has in a directory, signed.
type Index struct {
	URL    weburl.URL // of the directory
	Signer *signature.Certificate
	// Images are the boot images for this machine, best first.
	Images []Image
	// Others is how many files more it names: what lies beside images, images for other architectures, extensions, anything.
	Others int
}

// Image is a boot image of an index.
type Image struct {
	Name    string
	URL     weburl.URL
	SHA256  [32]byte
	Version string // out of the name; empty if it has none
	// Beside are the names of the files that an index has beside the image, such as NAME.roothash.
	Beside []string
}

// indexTries is how often an index is fetched that does not go with its signature. They are two files: who fetches them while somebody
// uploads them can have the old one and the new one.
const indexTries = 3

// Index fetches the index of a directory and its signature, and holds one against the other. Who may have signed it is who may sign images
// by the plan, and an image is called as the plan says. The images for arch, in systemd's words, are in the order of stage 1's candidates:
// newest version first by UAPI.10, those whose boot counter has run out behind all others. The error wraps [ErrRefused], or is that of
// [Client.Get].
func (c *Client) Index(ctx context.Context, dir weburl.URL, p *plan.Plan, arch string) (*Index, error) {
	for try := 1; ; try++ {
		i, err := c.indexOnce(ctx, dir, p, arch)
		if err == nil || !errors.Is(err, signature.ErrBadSignature) || try == indexTries {
			return i, err
		}
		// Somebody may just be replacing the two.
		if cause := c.wait(ctx, try+1, dir, err); cause != nil {
			return nil, err
		}
	}
}

func (c *Client) indexOnce(ctx context.Context, dir weburl.URL, p *plan.Plan, arch string) (*Index, error) {
	at := dir.Beside(index.Name)
	text, err := c.Small(ctx, at, index.MaxSize)
	if err != nil {
		return nil, err
	}
	sig := dir.Beside(index.SignatureName)
	der, err := c.Small(ctx, sig, maxSignature)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot use %v: %w: there is no signature beside it (%s)", at, ErrRefused, index.SignatureName)
	}
	if err != nil {
		return nil, err
	}
	signer, err := signature.Verify(der, text, p.Trust)
	if err != nil {
		return nil, fmt.Errorf("cannot use %v: %w: %w", at, ErrRefused, err)
	}
	if slices.Contains(p.DenyCerts, signer.Fingerprint()) {
		return nil, fmt.Errorf("cannot use %v: %w: deny-cert lists its signer, %v", at, ErrRefused, signer)
	}
	entries, err := index.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("cannot use %v: %w: %w", at, ErrRefused, err)
	}
	out := &Index{URL: dir, Signer: signer, Images: images(dir, entries, p, arch)}
	out.Others = len(entries) - len(out.Images)
	return out, nil
}

// images picks the boot images, as stage 1 does on a disk.
func images(dir weburl.URL, entries []index.Entry, p *plan.Plan, arch string) []Image {
	// The directory counts only where it is one of versions: NAME.raw.v.
	place := "/"
	if name := dir.Name(); strings.HasSuffix(name, ".v") {
		place += name + "/"
	}
	byName := map[string]index.Entry{}
	var files []resolve.File
	for _, e := range entries {
		byName[e.Name] = e
		if its := nameOf(place, e.Name).Arch; its == "" || its == arch {
			files = append(files, resolve.File{Path: place + e.Name})
		}
	}
	var out []Image
	for _, f := range resolve.Candidates(&plan.Plan{Image: p.Image}, "", files) {
		e := byName[path.Base(f.Path)]
		out = append(out, Image{
			Name: e.Name, URL: dir.Beside(e.Name), SHA256: e.SHA256,
			Version: nameOf(place, e.Name).Version, Beside: beside(entries, e.Name),
		})
	}
	return out
}

// nameOf takes a file's name apart, the zero name if it is not one of an image.
func nameOf(place, name string) version.Name {
	if dir := path.Base(place); strings.HasSuffix(dir, ".v") {
		n, _ := version.ParseInV(dir, name, imageSuffix)
		return n
	}
	n, _ := version.ParseName(name, imageSuffix)
	return n
}

const imageSuffix = ".raw"

// SidecarSuffixes returns what the names of files beside an image end in, where the image's ends in ".raw".
func SidecarSuffixes() []string {
	return []string{".roothash", ".roothash.p7s", ".usrhash", ".usrhash.p7s", ".verity"}
}

// Stem returns the name without ".raw".
func Stem(name string) string { return strings.TrimSuffix(name, imageSuffix) }

func beside(entries []index.Entry, name string) []string {
	var out []string
	for _, suffix := range SidecarSuffixes() {
		if slices.ContainsFunc(entries, func(e index.Entry) bool { return e.Name == Stem(name)+suffix }) {
			out = append(out, Stem(name)+suffix)
		}
	}
	return out
}
