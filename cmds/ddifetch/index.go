// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/initddi/initddi/internal/fetch"
)

// indexReport is what "ddifetch index" shows.
type indexReport struct {
	URL    string        `json:"url"`
	Signer string        `json:"signer"` // SHA-256 of the certificate
	Images []imageReport `json:"images"`
	Others int           `json:"others"` // how many files more it names
	signed string
}

type imageReport struct {
	Image   string   `json:"image"`
	Version string   `json:"version"`
	SHA256  string   `json:"sha256"`
	URL     string   `json:"url"`
	Beside  []string `json:"beside"`
}

// runIndex shows what the first index has that there is.
func runIndex(ctx context.Context, env environment, args []string) error {
	o, err := parseWeb(args, (*options).defineIndex)
	if err != nil {
		return err
	}
	urls, isIndex, err := o.urls()
	if err != nil {
		return err
	}
	if !isIndex {
		return fmt.Errorf("cannot show the index of %v: a directory's URL ends in /; %w", urls[0], errUsage)
	}
	p, err := o.plan()
	if err != nil {
		return err
	}
	bar := newProgress(env.Stderr, o.quiet)
	bar.what = "reading the index"
	c, err := o.client(bar)
	if err != nil {
		return err
	}
	defer c.Close()
	var errs fetch.FailedError
	for _, u := range urls {
		index, err := c.Index(ctx, u, p, o.arch)
		bar.done()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r := reportOf(index)
		return o.print(env.Stdout, r, func() { r.print(env, !o.noLegend) })
	}
	return either(errs)
}

func reportOf(i *fetch.Index) indexReport {
	r := indexReport{URL: i.URL.String(), Signer: fmt.Sprintf("%x", i.Signer.Fingerprint()), Images: []imageReport{}, Others: i.Others, signed: i.Signer.String()}
	for _, image := range i.Images {
		r.Images = append(r.Images, imageReport{
			Image: image.Name, Version: image.Version, SHA256: fmt.Sprintf("%x", image.SHA256), URL: image.URL.String(), Beside: append([]string{}, image.Beside...),
		})
	}
	return r
}

func (r indexReport) print(env environment, legend bool) {
	if legend {
		fmt.Fprintf(env.Stdout, "%s: %d images, best first, and %d other files; signed by %s\n", r.URL, len(r.Images), r.Others, r.signed)
	}
	if len(r.Images) == 0 {
		return
	}
	w := tabwriter.NewWriter(env.Stdout, 0, 8, 2, ' ', 0)
	if legend {
		fmt.Fprintln(w, "IMAGE\tVERSION\tSHA-256\tBESIDE")
	}
	for _, i := range r.Images {
		beside := "-"
		if len(i.Beside) > 0 {
			beside = strings.Join(i.Beside, " ")
		}
		v := i.Version
		if v == "" {
			v = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s…\t%s\n", i.Image, v, i.SHA256[:16], beside)
	}
	w.Flush()
}
