// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	kernel "github.com/initddi/initddi/internal/linux/nbd"
	"github.com/initddi/initddi/internal/nbd"
	"github.com/initddi/initddi/internal/netblock"
)

// nbdScheme is what the URLs of source nbd begin with; those of other sources may stand in the same ddi.url=.
const nbdScheme = "nbd://"

// runNBD is runBoot for source nbd.
func (b *booter) runNBD(ctx context.Context) error {
	do := b.getNBD
	if b.o.list {
		do = b.listNBD
	}
	err := b.network(ctx)
	if err == nil {
		err = do(ctx)
	}
	if err != nil {
		b.events.error(err)
		return errReported
	}
	// The blocks are the kernel's to fetch, and to count.
	b.events.done(0, 0)
	return nil
}

// nbdURLs returns the URLs that are for this source.
func (b *booter) nbdURLs() ([]nbd.URL, error) {
	var out []nbd.URL
	for _, s := range b.o.urls {
		if len(s) < len(nbdScheme) || !strings.EqualFold(s[:len(nbdScheme)], nbdScheme) {
			continue
		}
		u, err := nbd.ParseURL(s)
		if err != nil {
			return nil, fmt.Errorf("cannot use ddi.url=: %w", err)
		}
		out = append(out, u)
	}
	if len(out) == 0 {
		return nil, errors.New("cannot find an image: there is no nbd:// in ddi.url=")
	}
	return out, nil
}

// listNBD asks all servers and says what they have in the order of the URLs. Nothing of an image is read.
func (b *booter) listNBD(ctx context.Context) error {
	urls, err := b.nbdURLs()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.o.timeout)
	defer cancel()
	list, err := netblock.List(ctx, urls, func(_ nbd.URL, err error) { b.events.warn(err.Error()) })
	if err != nil {
		return err
	}
	for _, e := range list[:min(len(list), maxCandidates)] {
		size := int64(e.Size)
		b.events.send(event{Event: "candidate", Name: nbdName(e.URL.Export), URL: e.URL.String(), Size: &size})
	}
	return nil
}

// nbdName is what an export is called among images: the last part of its name, as a file.
func nbdName(export string) string {
	name := path.Base(path.Clean("/" + export))
	if name == "/" {
		name = "default"
	}
	if !strings.HasSuffix(strings.ToLower(name), ".raw") {
		name += ".raw"
	}
	return name
}

// getNBD connects the device that it is asked for.
func (b *booter) getNBD(ctx context.Context) error {
	u, err := nbd.ParseURL(b.o.get)
	if err != nil {
		return fmt.Errorf("cannot fetch: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, b.o.timeout)
	defer cancel()
	control, err := openNBD()
	if err != nil {
		return err
	}
	defer control.Close()
	// A server that hangs in the middle of the boot is given up soon enough for another source to have its turn.
	limits := kernel.Limits{Request: max(2, min(kernel.DefaultRequest, uint64(b.o.timeout/time.Second)/3))}
	d, err := netblock.Connect(ctx, control, u, netblock.Options{Limits: limits})
	if err != nil {
		return err
	}
	size, block := int64(d.Size), int64(d.BlockSize)
	b.events.info(fmt.Sprintf("%s is %v, over %d connections", d.Node(), d.URL, d.Connections))
	b.events.send(event{Event: "device", Node: d.Node(), Size: &size, Block: &block})
	return nil
}
