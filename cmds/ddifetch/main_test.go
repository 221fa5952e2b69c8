// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/initddi/initddi/internal/clitest"
	"github.com/smallstep/pkcs7"

	"github.com/initddi/initddi/internal/index"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ddifetch": main})
}

// signer signs an index.
type signer struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func newSigner(t *testing.T, name string) *signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{key, cert}
}

func (s *signer) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw})
}

func (s *signer) sign(t *testing.T, text []byte) []byte {
	t.Helper()
	d, err := pkcs7.NewSignedData(text)
	if err != nil {
		t.Fatal(err)
	}
	d.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := d.AddSigner(s.cert, s.key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	d.Detach()
	der, err := d.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// site is what the test's web server has.
type site map[string][]byte

// ServeHTTP implements [http.Handler].
func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, ok := s[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Etag", `"1"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// newSite makes a directory os/ with two versions of an image and a signed index, and others with things that are wrong.
func newSite(t *testing.T, s *signer) site {
	t.Helper()
	files := site{}
	sums := func(dir string, names ...string) {
		var text []byte
		for _, name := range names {
			text = fmt.Appendf(text, "%x  %s\n", sha256.Sum256(files[dir+name]), name)
		}
		files[dir+index.Name] = text
		files[dir+index.SignatureName] = s.sign(t, text)
	}
	files["os/OS_1.9.raw"] = bytes.Repeat([]byte("old "), 1000)
	files["os/OS_1.10.raw"] = bytes.Repeat([]byte("new "), 2000)
	files["os/OS_1.10.roothash"] = []byte("abc\n")
	files["os/OS_1.11_arm64.raw"] = []byte("other")
	sums("os/", "OS_1.9.raw", "OS_1.10.raw", "OS_1.10.roothash", "OS_1.11_arm64.raw")
	files["none/README"] = []byte("nothing")
	sums("none/", "README")
	files["wrong/OS_2.raw"] = []byte("what was signed")
	sums("wrong/", "OS_2.raw")
	files["wrong/OS_2.raw"] = []byte("what was not...")
	files["unsigned/"+index.Name] = files["os/"+index.Name]
	files["x86-64/OS_1.raw"] = []byte("for this")
	return files
}

// TestScripts runs the program as a user does. $URL is the web server, $TRUST who signs its indexes, $STRANGER somebody else.
func TestScripts(t *testing.T) {
	good, stranger := newSigner(t, "release"), newSigner(t, "stranger")
	server := httptest.NewServer(newSite(t, good))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	for name, s := range map[string]*signer{"trust.crt": good, "stranger.crt": stranger} {
		if err := os.WriteFile(filepath.Join(dir, name), s.pem(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("URL", server.URL)
			e.Setenv("TRUST", filepath.Join(dir, "trust.crt"))
			e.Setenv("STRANGER", filepath.Join(dir, "stranger.crt"))
			return nil
		},
		Cmds: clitest.Commands(),
	})
}

func flagNames(defines ...func(*options, *flag.FlagSet)) []string {
	var names []string
	for _, define := range append(defines, (*options).define) {
		flags := flag.NewFlagSet("ddifetch", flag.ContinueOnError)
		define(newOptions(), flags)
		flags.VisitAll(func(f *flag.Flag) {
			if len(f.Name) == 1 {
				names = append(names, "-"+f.Name)
			} else {
				names = append(names, "--"+f.Name)
			}
		})
	}
	slices.Sort(names)
	return names
}

// TestWebHelp keeps the helps complete, and the flags that they teach real.
func TestWebHelp(t *testing.T) {
	for help, define := range map[string]func(*options, *flag.FlagSet){getHelp: (*options).defineGet, indexHelp: (*options).defineIndex} {
		var taught []string
		for _, m := range regexp.MustCompile(`(?m)(?:^|\s)(--?[A-Za-z][a-z-]*)`).FindAllStringSubmatch(help, -1) {
			taught = append(taught, m[1])
		}
		names := append(flagNames(define), "-h", "--help")
		for _, name := range names {
			if !slices.Contains(taught, name) {
				t.Errorf("the help does not name %s:\n%s", name, help)
			}
		}
		for _, name := range taught {
			if !slices.Contains(names, name) {
				t.Errorf("the help names %s, which does not exist:\n%s", name, help)
			}
		}
	}
	flags := flag.NewFlagSet("boot", flag.ContinueOnError)
	(&bootOptions{}).define(flags)
	checkHelp(t, flags, bootHelp)
}

var update = flag.Bool("update", false, "write the tables of the completion scripts anew")

// TestCompletionTables compares what the completion scripts know with what the program takes.
func TestCompletionTables(t *testing.T) {
	names := append(flagNames((*options).defineGet, (*options).defineIndex), "--help")
	slices.Sort(names)
	for i, name := range names {
		if slices.Contains([]string{"--output", "--image", "--arch", "--ca", "--trust", "--limit", "--timeout"}, name) {
			names[i] += "="
		}
	}
	clitest.CheckCompletion(t, "ddifetch", names, *update)
}

// TestManualNamesEveryFlag holds ddifetch(8) against the program.
func TestManualNamesEveryFlag(t *testing.T) {
	b, err := os.ReadFile("../../docs/man/ddifetch.8")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range flagNames((*options).defineGet, (*options).defineIndex) {
		if !regexp.MustCompile(`(?m)^\.It .*Fl ` + name[1:] + `( |$)`).Match(b) {
			t.Errorf("ddifetch.8 does not explain %s", name)
		}
	}
}

func TestProgressLine(t *testing.T) {
	for _, test := range []struct {
		done, total, rate int64
		want              string
	}{
		{0, 0, 0, "fetching x 0 bytes"},
		{5000, 0, 0, "fetching x 5000 bytes"},
		{50 << 20, 100 << 20, 0, "fetching x [##########..........]  50% 50 MiB"},
		{50 << 20, 100 << 20, 20 << 20, "fetching x [##########..........]  50% 50 MiB, 20 MiB/s, 3 s left"},
		{100 << 20, 100 << 20, 1 << 30, "fetching x [####################] 100% 100 MiB, 1024 MiB/s, 0 s left"},
		{20 << 30, 0, 15 << 10, "fetching x 20 GiB, 15 KiB/s"},
	} {
		if got := line("fetching x", test.done, test.total, test.rate); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func TestParseNumbers(t *testing.T) {
	for s, want := range map[string]int64{"1": 1, "10K": 10 << 10, "3M": 3 << 20, "8G": 8 << 30, "": 0, "0": 0, "-1": 0, "1.5G": 0, "1k": 0, "1GB": 0, "G": 0, "9223372036854775807": 1<<63 - 1, "9223372036854775807K": 0} {
		if got, err := parseSize(s); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
	for s, want := range map[string]time.Duration{"1": time.Second, "90s": 90 * time.Second, "5m": 5 * time.Minute, "": 0, "0": 0, "-5s": 0, "x": 0} {
		if got, err := parseTime(s); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
}
