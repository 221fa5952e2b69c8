// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ddi

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/ability"
	"github.com/initddi/initddi/internal/plan"
)

// TrustDirs returns the directories that hold trusted certificates, the one that decides about a name first, as systemd has them.
func TrustDirs() []string {
	return []string{"/etc/verity.d", "/run/verity.d", "/usr/local/lib/verity.d", "/usr/lib/verity.d"}
}

// maxTrustFile bounds a file of the trust store, as in stage 1.
const maxTrustFile = 1 << 20

// ReadStore is [ReadTrust] of the places that somebody named, all of which have to be there, or of those of [TrustDirs] that are.
func ReadStore(named []string) (*plan.Plan, error) {
	if len(named) > 0 {
		return ReadTrust(named, false)
	}
	return ReadTrust(TrustDirs(), true)
}

// ReadTrust makes a plan out of a trust store and of stage 1's baked-in settings, which exist only inside of a stage 1 and
// bring its pins and its lists of denied things with them. places are certificate files and directories with *.crt files;
// places that are not there, or have none, are not an error if optional is set. Of files with the same name in several directories the
// first counts, and an empty one, or a link to /dev/null, switches those behind it off.
func ReadTrust(places []string, optional bool) (*plan.Plan, error) {
	return readTrust(plan.ConfigPath, places, optional)
}

// readTrust is the same with the settings in another file.
func readTrust(config string, places []string, optional bool) (*plan.Plan, error) {
	// That this stage 1 can do what its settings say was asked by storageinit; here it makes no difference.
	in := ability.Unasked().Input()
	var err error
	if in.Config, err = readBounded(config); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var seen []string
	for _, place := range places {
		files, err := trustFiles(place)
		if optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the trust store: %w", err)
		}
		if len(files) == 0 && !optional {
			return nil, fmt.Errorf("cannot read the trust store: no *.crt in %s: %w", place, fs.ErrNotExist)
		}
		for _, name := range files {
			base := filepath.Base(name)
			if slices.Contains(seen, base) && filepath.Dir(name) == place {
				continue
			}
			seen = append(seen, base)
			b, err := readBounded(name)
			if err != nil {
				return nil, fmt.Errorf("cannot read the trust store: %w", err)
			}
			if len(b) > 0 {
				in.Certificates = append(in.Certificates, plan.CertificateFile{Name: name, PEM: b})
			}
		}
	}
	return plan.New(in)
}

// trustFiles returns the certificate files at place, sorted.
func trustFiles(place string) ([]string, error) {
	info, err := os.Stat(place)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{place}, nil
	}
	f, err := os.Open(place)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names {
		if strings.HasSuffix(name, ".crt") {
			out = append(out, filepath.Join(place, name))
		}
	}
	slices.Sort(out)
	return out, nil
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTrustFile+1))
	if err == nil && len(b) > maxTrustFile {
		err = fmt.Errorf("more than %d bytes: %w", maxTrustFile, fs.ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	return b, nil
}
