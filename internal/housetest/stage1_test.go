// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package housetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/initramfs"
)

// never are packages that stage 1 does not contain, and why. They are named with all that is below them.
var never = map[string]string{
	"crypto/x509":         "chains, names, dates and system roots are not what trust is here; 500 kB",
	"crypto/tls":          "there is no network before the image is verified; 1 MB",
	"net":                 "likewise; and its init work",
	"net/http":            "likewise",
	"regexp":              "unbounded matching over hostile text; 200 kB, tables made at start",
	"text/template":       "reflection keeps every exported method in the binary",
	"html":                "likewise",
	"encoding/json":       "reflection, 100 kB; package jsontext has what is needed of it",
	"encoding/csv":        "nothing that is read is CSV",
	"encoding/xml":        "nothing that is read is XML",
	"encoding/gob":        "reflection",
	"log":                 "libraries do not log; package report does, through one door",
	"log/slog":            "likewise",
	"os/user":             "there are no users yet",
	"os/signal":           "process 1 gets no signals that it has not asked for",
	"testing":             "belongs into tests",
	"plugin":              "there is nothing to load",
	"go/parser":           "belongs into tools",
	"compress/flate":      "the kernel decompresses what has to be",
	"github.com":          "stage 1 is the standard library, x/sys and x/crypto/cryptobyte",
	"golang.org/x/net":    "no network",
	"golang.org/x/text":   "tables",
	"golang.org/x/crypto": "only cryptobyte, see except",
}

// except are parts of what is named in never that stage 1 may contain.
var except = []string{modulePath, "golang.org/x/crypto/cryptobyte"}

// allowed are packages that a command which is not process 1 may contain all the same.
var allowed = map[string]string{
	modulePath + "/cmds/ddimount": "os/signal", // an interrupted mount is undone
}

func isBelow(path, parent string) bool { return path == parent || strings.HasPrefix(path, parent+"/") }

// TestStage1Dependencies lists everything that the commands of the template "minimal" are linked from, which is one program, for
// each architecture that matters: dependencies differ by build tags.
func TestStage1Dependencies(t *testing.T) {
	template := initramfs.Template{File: filepath.Join(root, "templates/mkuimage.yaml"), Config: "minimal"}
	commands, _, err := template.Commands()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(commands, modulePath+"/cmds/storageinit") {
		t.Fatalf("the template has %v", commands)
	}
	for _, arch := range []string{"amd64", "arm64", "riscv64"} {
		for _, command := range commands {
			cmd := exec.Command("go", "list", "-deps", command)
			cmd.Dir = root
			cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=")
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("cannot list the dependencies of %s for %s: %v", command, arch, err)
			}
			deps := strings.Fields(string(out))
			if len(deps) < 20 {
				t.Fatalf("%s for %s: %d dependencies cannot be all", command, arch, len(deps))
			}
			for _, dep := range deps {
				if why := forbidden(dep); why != "" && allowed[command] != dep {
					t.Errorf("%s for %s contains %s: %s", command, arch, dep, why)
				}
			}
		}
	}
}

func forbidden(dep string) string {
	for _, e := range except {
		if isBelow(dep, e) {
			return ""
		}
	}
	for name, why := range never {
		if isBelow(dep, name) {
			return name + ": " + why
		}
	}
	return ""
}

// TestForbidden makes sure that the test above can fail.
func TestForbidden(t *testing.T) {
	for dep, want := range map[string]bool{
		"net": true, "net/http/internal": true, "crypto/x509/pkix": true, "golang.org/x/crypto/ssh": true, "github.com/u-root/uio": true,
		"crypto/rsa": false, "golang.org/x/crypto/cryptobyte/asn1": false, "golang.org/x/sys/unix": false, modulePath + "/internal/fat": false,
		"encoding/json": true, "encoding/base64": false, "network": false,
	} {
		if got := forbidden(dep) != ""; got != want {
			t.Errorf("forbidden(%q) is %v, want %v", dep, got, want)
		}
	}
}
