// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fetch

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/initddi/initddi/internal/index"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/signature"
)

// signer is somebody who signs an index.
type signer struct {
	t       *testing.T
	key     crypto.Signer
	std     *x509.Certificate
	trusted *signature.Certificate
}

func newSigner(t *testing.T, name string) *signer {
	t.Helper()
	a := &authority{key: rsaKey(t, 2048)}
	s := &signer{t: t, key: a.key}
	s.std = a.sign(t, a.key, func(c *x509.Certificate) {
		c.Subject, c.SerialNumber = pkix.Name{CommonName: name}, big.NewInt(time.Now().UnixNano())
	})
	var err error
	if s.trusted, err = signature.ParseCertificate(s.std.Raw); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *signer) sign(text string) []byte {
	s.t.Helper()
	d, err := pkcs7.NewSignedData([]byte(text))
	if err != nil {
		s.t.Fatal(err)
	}
	d.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := d.AddSigner(s.std, s.key, pkcs7.SignerInfoConfig{}); err != nil {
		s.t.Fatal(err)
	}
	d.Detach()
	der, err := d.Finish()
	if err != nil {
		s.t.Fatal(err)
	}
	return der
}

// plan trusts the signer.
func (s *signer) plan() *plan.Plan { return &plan.Plan{Trust: []*signature.Certificate{s.trusted}} }

// site is a directory on a web server.
type site map[string][]byte

func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, ok := s[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// sums is a list of files with the digest of their own names.
func sums(names ...string) string {
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256([]byte(n)), n)
	}
	return b.String()
}

func TestIndex(t *testing.T) {
	good, stranger := newSigner(t, "release"), newSigner(t, "stranger")
	text := sums("OS_1.9.raw", "OS_1.10.raw", "OS_1.10.roothash", "OS_1.10.roothash.p7s", "OS_2_arm64.raw", "OS_1.11_x86-64.raw", "OS_9+0-3.raw", "tools.sysext.raw", "site.confext.raw", "README",
		"BEST-BEFORE-2027-01-01")
	signed := site{index.Name: []byte(text), index.SignatureName: good.sign(text)}
	with := func(name string, content []byte) site {
		s := site{index.Name: signed[index.Name], index.SignatureName: signed[index.SignatureName]}
		if delete(s, name); content != nil {
			s[name] = content
		}
		return s
	}
	bare := "key=value\n"
	for _, test := range []struct {
		name   string
		site   site
		arch   string // x86-64 if it is empty
		image  string
		denied bool
		images string
		err    error
		text   string
	}{
		{name: "all", site: signed, images: "[OS_1.11_x86-64.raw OS_1.10.raw OS_1.9.raw OS_9+0-3.raw]"},
		{name: "other architecture", site: signed, arch: "arm64", images: "[OS_2_arm64.raw OS_1.10.raw OS_1.9.raw OS_9+0-3.raw]"},
		{name: "by name", site: signed, image: "os_1.9.raw", images: "[OS_1.9.raw]"},
		{name: "by glob", site: signed, image: "OS_1.1*", images: "[OS_1.11_x86-64.raw OS_1.10.raw]"},
		{name: "none by that name", site: signed, image: "x.raw", images: "[]"},
		{name: "nothing there", site: site{}, err: fs.ErrNotExist, text: "/" + index.Name + ": server answered 404"},
		{name: "no signature", site: with(index.SignatureName, nil), err: ErrRefused, text: "there is no signature beside it"},
		{name: "signature of a stranger", site: with(index.SignatureName, stranger.sign(text)), err: signature.ErrUnknownSigner, text: "stranger"},
		{name: "signer denied", site: signed, denied: true, err: ErrRefused, text: "deny-cert lists its signer"},
		{name: "signature of another list", site: with(index.SignatureName, good.sign(text+"x")), err: signature.ErrBadSignature},
		{name: "list altered", site: with(index.Name, []byte(strings.Replace(text, "OS_1.9", "OS_1.8", 1))), err: signature.ErrBadSignature},
		{name: "list cut", site: with(index.Name, []byte(text[:len(text)-1])), err: signature.ErrBadSignature},
		{name: "no signature but a page", site: with(index.SignatureName, []byte("<html>404</html>")), err: ErrWebPage},
		{name: "junk for a signature", site: with(index.SignatureName, []byte("junk")), err: signature.ErrMalformed},
		{name: "signed settings", site: site{index.Name: []byte(bare), index.SignatureName: good.sign(bare)}, err: index.ErrSyntax},
		{name: "list too large", site: with(index.Name, make([]byte, index.MaxSize+1)), err: ErrTooLarge},
		{name: "signature too large", site: with(index.SignatureName, make([]byte, maxSignature+1)), err: ErrTooLarge},
	} {
		dir := serve(t, test.site.ServeHTTP)
		dir.Path = "/"
		o := quick(t)
		c := New(o)
		if test.arch == "" {
			test.arch = "x86-64"
		}
		p := good.plan()
		if p.Image = test.image; test.denied {
			p.DenyCerts = [][32]byte{good.trusted.Fingerprint()}
		}
		got, err := c.Index(t.Context(), dir, p, test.arch)
		c.Close()
		if !errors.Is(err, test.err) || err != nil && !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, wanted %v", test.name, err, test.err)
		}
		isRefusal := test.err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrWebPage)
		if errors.Is(err, ErrRefused) != isRefusal {
			t.Errorf("%s: a refusal: %v", test.name, err)
		}
		if err != nil {
			continue
		}
		var names []string
		for _, i := range got.Images {
			names = append(names, i.Name)
			if i.SHA256 != sha256.Sum256([]byte(i.Name)) || i.URL.String() != strings.TrimSuffix(dir.String(), "/")+i.URL.Path || i.URL.Name() != i.Name {
				t.Errorf("%s: %+v", test.name, i)
			}
			if i.Name == "OS_1.10.raw" && (fmt.Sprint(i.Beside) != "[OS_1.10.roothash OS_1.10.roothash.p7s]" || i.Version != "1.10") {
				t.Errorf("%s: %+v", test.name, i)
			}
		}
		if fmt.Sprint(names) != test.images || got.Others != 11-len(names) || got.Signer != good.trusted {
			t.Errorf("%s: %v and %d others by %v", test.name, names, got.Others, got.Signer)
		}
	}
}

// TestIndexOfVersions has a directory NAME.raw.v, where the name says what the version is.
func TestIndexOfVersions(t *testing.T) {
	s := newSigner(t, "release")
	text := sums("OS_v2.raw", "OS_v10.raw", "Other_v3.raw")
	files := site{"OS.raw.v/" + index.Name: []byte(text), "OS.raw.v/" + index.SignatureName: s.sign(text)}
	dir := serve(t, files.ServeHTTP)
	dir.Path = "/OS.raw.v/"
	got, err := New(quick(t)).Index(t.Context(), dir, s.plan(), "x86-64")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range got.Images {
		names = append(names, i.Name+" "+i.Version)
	}
	// What does not fit there has no version, and its name for a base, as on a disk.
	if fmt.Sprint(names) != "[OS_v10.raw v10 OS_v2.raw v2 Other_v3.raw ]" {
		t.Errorf("%q", names)
	}
}

// TestIndexIsReplaced has somebody upload a new index while it is fetched: first the list, a moment later its signature.
func TestIndexIsReplaced(t *testing.T) {
	s := newSigner(t, "release")
	before, after := sums("OS_1.raw"), sums("OS_2.raw")
	files := site{index.Name: []byte(before), index.SignatureName: s.sign(before)}
	n := 0
	dir := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n++; n == 2 {
			files[index.Name], files[index.SignatureName] = []byte(after), s.sign(after)
		}
		files.ServeHTTP(w, r)
	})
	dir.Path = "/"
	got, err := New(quick(t)).Index(t.Context(), dir, s.plan(), "x86-64")
	if err != nil || len(got.Images) != 1 || got.Images[0].Name != "OS_2.raw" {
		t.Errorf("%+v, %v", got, err)
	}
}
