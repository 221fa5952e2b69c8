// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !noservers

package stage1

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/linux/kerneltest"
	kernel "github.com/initddi/initddi/internal/linux/nbd"
	"github.com/initddi/initddi/internal/nbd"
	"github.com/initddi/initddi/internal/nbd/nbdtest"
	"github.com/initddi/initddi/internal/netblock"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
)

// TestMain is a ddifetch, too: one that ends when it has made a device, before it could say so.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "boot" {
		_, err := connectTo(context.Background(), strings.TrimPrefix(os.Args[len(os.Args)-1], "--get="))
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(2)
		}
		os.Exit(7)
	}
	os.Exit(m.Run())
}

func connectTo(ctx context.Context, url string) (index int, err error) {
	u, err := nbd.ParseURL(url)
	if err != nil {
		return 0, err
	}
	control, err := kernel.Open()
	if err != nil {
		return 0, err
	}
	defer control.Close()
	d, err := netblock.Connect(ctx, control, u, netblock.Options{})
	return d.Index, err
}

// TestVMKilledFetch: a device of which nobody was told does not stay, and one that was there before does.
func TestVMKilledFetch(t *testing.T) {
	kerneltest.NeedMachine(t)
	kerneltest.Loopback(t)
	s := &nbdtest.Server{Export: "os", Size: 1 << 20, Read: nbdtest.Bytes(make([]byte, 1<<20))}
	url := "nbd://" + s.Start(t, "127.0.0.1:0") + "/os"
	mine, err := connectTo(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disconnect(mine) })
	b, console := waiting(t, machinetest.New(t))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b.servers = &servers{fetcher: fetcher{self, b.plan, b.log}, devices: map[string]resolve.Device{}}
	err = b.bring(&resolve.Action{Source: plan.SourceNBD, URL: url})
	if err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("%v\n%s", err, console)
	}
	if got, err := connected(); err != nil || !slices.Equal(got, []int{mine}) {
		t.Errorf("connected are %v, %v, wanted %d alone\n%s", got, err, mine, console)
	}
	if len(b.servers.devices) != 0 || s.Connections.Load() < 2 {
		t.Errorf("%v, %d connections were made", b.servers.devices, s.Connections.Load())
	}
}
