// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/initddi/initddi/internal/netlab"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/vm"
)

// Network is a switch in a namespace of its own with real servers in it, at netlab.Address4 and Address6. The machine's network cards are
// connected to it.
type Network struct {
	// Cards are the machine's; nil is one of virtio.
	Cards []Card `json:"cards,omitempty"`
	// VLAN is the one that the servers are in: their frames are tagged on the switch.
	VLAN int `json:"vlan,omitempty"`
	// Dnsmasq are its options (netlab.DHCP4 and the like); without any there is none.
	Dnsmasq []string `json:"dnsmasq,omitempty"`
	Web     *Web     `json:"web,omitempty"`
	NBD     *NBD     `json:"nbd,omitempty"`
}

// Card is a network card.
type Card struct {
	Model string `json:"model,omitempty"` // QEMU's name; default virtio-net-pci
	// Alone is a card with a cable that leads nowhere: it has a carrier, and nobody answers.
	Alone bool `json:"alone,omitempty"`
	// Boot has the firmware try to boot from it, after the disks.
	Boot bool `json:"boot,omitempty"`
}

// Web is what nginx serves on port 80.
type Web struct {
	Place []Place `json:"place,omitempty"`
	// Disk is a whole disk, with the cell's UKI, that a firmware boots by HTTP.
	Disk *Disk `json:"disk,omitempty"`
	// Server goes into nginx's server block, Aside stands beside it.
	Server string `json:"server,omitempty"`
	Aside  string `json:"aside,omitempty"`
	// UKI is where the cell's UKI lies, for firmware that fetches it.
	UKI string `json:"uki,omitempty"`
	// TLS serves https as well, on port 443.
	TLS bool `json:"tls,omitempty"`
	// Bad has the program badweb stand before nginx, on port 8080; Cuts is how many answers it cuts.
	Bad  bool `json:"bad,omitempty"`
	Cuts int  `json:"cuts,omitempty"`
}

// NBD is what nbdkit serves on port 10809.
type NBD struct {
	// Image is the export's content, through the plugin "file"; Options come before the plugin: filters.
	Image   string   `json:"image,omitempty"`
	Options []string `json:"options,omitempty"`
	// Parameters come behind it: the filters'.
	Parameters []string `json:"parameters,omitempty"`
	// Plugin is another plugin than "file", with what it takes; "{image}" stands for the image's file.
	Plugin []string `json:"plugin,omitempty"`
}

// openNetwork makes the network of a cell and has the machine's cards connected to it; it is nil for a cell without. It lasts until it is
// closed.
func (w *Workshop) openNetwork(ctx context.Context, c *Cell, config *vm.Config) (*netlab.Lab, error) {
	n := c.Network
	if n == nil {
		return nil, nil
	}
	dir, err := os.MkdirTemp(filepath.Dir(config.Report), "net-")
	if err != nil {
		return nil, err
	}
	lab, err := netlab.Open(ctx, dir, n.VLAN)
	if err != nil {
		return nil, err
	}
	if err := w.serve(ctx, c, lab); err != nil {
		lab.Close()
		return nil, err
	}
	if err := connect(ctx, n, lab, config); err != nil {
		lab.Close()
		return nil, err
	}
	return lab, nil
}

// connect gives the machine its cards. QEMU runs in the network's namespace, where their other ends are.
func connect(ctx context.Context, n *Network, lab *netlab.Lab, config *vm.Config) error {
	cards := n.Cards
	if cards == nil {
		cards = []Card{{}}
	}
	config.Cards = nil
	for i, c := range cards {
		tap := fmt.Sprintf("vm%d", i)
		var err error
		if c.Alone {
			err = lab.IP(ctx, "tuntap add "+tap+" mode tap", "link set "+tap+" up")
		} else {
			err = lab.Tap(ctx, tap)
		}
		if err != nil {
			return err
		}
		config.Cards = append(config.Cards, vm.Card{Tap: tap, Model: c.Model, Boot: c.Boot})
	}
	var err error
	config.Binary, err = lab.Wrap("qemu-system-x86_64", "qemu-system-x86")
	return err
}

// serve starts the servers.
func (w *Workshop) serve(ctx context.Context, c *Cell, lab *netlab.Lab) error {
	n := c.Network
	if n.Dnsmasq != nil {
		if _, err := lab.Dnsmasq(ctx, n.Dnsmasq...); err != nil {
			return err
		}
	}
	if n.Web != nil {
		if err := w.serveWeb(ctx, c, lab); err != nil {
			return err
		}
	}
	if n.NBD == nil {
		return nil
	}
	image, err := w.Image(ctx, n.NBD.Image)
	if err != nil {
		return err
	}
	// What serves must not be able to change it.
	plugin := n.NBD.Plugin
	if plugin == nil {
		plugin = []string{"file", "file={image}"}
	}
	args := append([]string{"--readonly"}, n.NBD.Options...)
	for _, p := range plugin {
		args = append(args, strings.ReplaceAll(p, "{image}", image))
	}
	_, err = lab.NBD(ctx, append(args, n.NBD.Parameters...)...)
	return err
}

// fillWeb puts what is served below the directory root.
func (w *Workshop) fillWeb(ctx context.Context, root string, place []Place) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	for _, p := range place {
		name := filepath.Join(root, p.Path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if p.Image == "" {
			text, err := w.fill(ctx, p.Text)
			if err != nil {
				return err
			}
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				return err
			}
			if p.SignedBy == "" {
				continue
			}
			p.Text = text
			signature, err := w.signatureOf(ctx, p)
			if err != nil {
				return err
			}
			if err := os.Symlink(signature, name+plan.SignatureSuffix); err != nil {
				return err
			}
			continue
		}
		image, err := w.Image(ctx, p.Image)
		if err != nil {
			return err
		}
		if err := os.Symlink(image, name); err != nil {
			return err
		}
		files, err := beside(image)
		if err != nil {
			return err
		}
		for ext, file := range files {
			if err := os.Symlink(file, strings.TrimSuffix(name, ".raw")+ext); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepLogs closes the network of a cell, if it has one, and returns what the servers wrote, which is kept beside the console.
func (w *Workshop) keepLogs(c *Cell, lab *netlab.Lab) (map[string]string, error) {
	if lab == nil {
		return nil, nil
	}
	lab.Close()
	logs, err := lab.Logs()
	if err != nil {
		return nil, err
	}
	for name, text := range logs {
		file := strings.TrimSuffix(w.LogOf(c), ".log") + "." + name
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("cannot keep what %s wrote: %w", name, err)
		}
	}
	return logs, nil
}
