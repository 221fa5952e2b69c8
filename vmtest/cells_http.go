// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/index"
	"github.com/initddi/initddi/internal/netlab"
	"github.com/initddi/initddi/vmtest/guest"
)

// stagesHTTP are stages 1 with a network.
func stagesHTTP() []Stage1 {
	classes := []string{"virtio", "net"}
	return []Stage1{
		{Name: "http", Config: "network", Classes: classes},
		{Name: "https", Config: "network", Classes: classes, CA: "web"},
		{Name: "https-stranger", Config: "network", Classes: classes, CA: "stranger"},
	}
}

// server is where the lab's web server is.
const server = "http://" + netlab.Address4

// from is the command line for an image at a place of the server.
func fromServer(place string) string { return "ddi.source=http ddi.url=" + server + place }

// web is a network with DHCP and a web server that has an image under a name.
func web(image, name string) *Network {
	return &Network{Dnsmasq: netlab.DHCP4, Web: &Web{Place: []Place{{Path: name, Image: image}}}}
}

// behindBad is the same behind badweb.
func behindBad(image, name string, cuts int) *Network {
	n := web(image, name)
	n.Web.Bad, n.Web.Cuts = true, cuts
	return n
}

// indexOf is a directory with images, named by what they are, and a signed index of them.
func indexOf(signedBy string, images ...string) []Place {
	var out []Place
	text := ""
	for _, i := range images {
		name := strings.Replace(i, "signed", "OS_", 1) + ".raw"
		out = append(out, Place{Path: "os/" + name, Image: i})
		text += "{sha256 " + i + "}  " + name + "\n"
	}
	return append(out, Place{Path: "os/" + index.Name, Text: text, SignedBy: signedBy})
}

// withIndex is a network with DHCP and such a directory.
func withIndex(signedBy string, images ...string) *Network {
	return &Network{Dnsmasq: netlab.DHCP4, Web: &Web{Place: indexOf(signedBy, images...)}}
}

// cellsHTTP are machines whose image is on a web server.
func cellsHTTP() []Cell {
	const entered = "root hash {roothash signed} signed by"
	cells := []Cell{
		{Name: "http", Test: true, Doc: "an image of nginx's, fetched into memory, verified and entered", Cmdline: fromServer("/OS_1.raw"), Network: web("signed", "OS_1.raw"),
			Verdict: Entered, Must: []string{"entering " + server + "/OS_1.raw", guest.Sentence}, Check: fromWeb(server + "/OS_1.raw")},
		{Name: "http-fallback", Doc: "nothing on the ESP: the web server's image", Cmdline: "ddi.source=esp,http ddi.url=" + server + "/OS_1.raw", Network: web("signed", "OS_1.raw"), Disks: []Disk{{}},
			Verdict: Entered, Must: []string{"/dev/vda1 refused (found)", "going on with http", "entering " + server + "/OS_1.raw", guest.Sentence}},
		{Name: "http-mirrors", Doc: "of several URLs one refuses, one is not there, one has the image", Cmdline: "ddi.source=http ddi.url=http://" + netlab.Address4 + ":81/OS_1.raw," + server + "/nowhere/OS_1.raw," + server + "/OS_1.raw", Network: web("signed", "OS_1.raw"),
			Verdict: Entered, Must: []string{"entering " + server + "/OS_1.raw", guest.Sentence}, Limit: 240 * time.Second},
		{Name: "https", Doc: "https, with the CA built in", Stage1: "https", Cmdline: "ddi.source=http ddi.url=https://" + netlab.Host + "/OS_1.raw", Network: withTLS(web("signed", "OS_1.raw")),
			Verdict: Entered, Must: []string{entered, guest.Sentence}, Check: fromWeb("https://" + netlab.Host + "/OS_1.raw")},
		{Name: "https-stranger", Doc: "https, and the server's certificate is by another CA", Stage1: "https-stranger", Cmdline: "ddi.source=http ddi.url=https://" + netlab.Host + "/OS_1.raw", Network: withTLS(web("signed", "OS_1.raw")),
			Verdict: Refused, Must: []string{"the server's certificate is signed by nobody who is trusted here"}},
		{Name: "https-without-ca", Doc: "https, and no CA built in", Cmdline: "ddi.source=http ddi.url=https://" + netlab.Host + "/OS_1.raw", Network: withTLS(web("signed", "OS_1.raw")),
			Verdict: Refused, Must: []string{"there are no CA certificates to check an https server with"}},

		{Name: "http-unsigned", Doc: "an unsigned image of a web server's: the same rules as on a disk", Cmdline: fromServer("/OS_1.raw"), Network: web("unsigned", "OS_1.raw"),
			Verdict: Refused, Must: []string{server + "/OS_1.raw refused (signed)"}},
		{Name: "http-beside", Doc: "the image on the web server has no signature of its own: root hash and signature lie beside it", Cmdline: fromServer("/OS_1.raw"),
			Network: &Network{Dnsmasq: netlab.DHCP4, Web: &Web{Place: []Place{{Path: "OS_1.raw", Image: "unsigned"}, {Path: "OS_1.roothash", Text: "{roothash unsigned}", SignedBy: "ddi"}}}},
			Verdict: Entered, Must: []string{"root hash {roothash unsigned} signed by", "entering " + server + "/OS_1.raw", guest.Sentence}, Check: fromWeb(server + "/OS_1.raw")},
		{Name: "http-flipped", Doc: "a flipped bit in an image of a web server's", Cmdline: fromServer("/OS_1.raw"), Network: web("flipped-first", "OS_1.raw"),
			Verdict: Refused, Must: []string{server + "/OS_1.raw refused (verity)"}},
		{Name: "http-other-id", Doc: "another product's image, signed by the same key", Cmdline: fromServer("/OS_1.raw"), Network: web("other", "OS_1.raw"),
			Verdict: Refused, Must: []string{server + "/OS_1.raw refused (identity)"}},
		{Name: "http-404", Doc: "a file that is not there", Cmdline: fromServer("/OS_2.raw"), Network: web("signed", "OS_1.raw"),
			Verdict: Refused, Must: []string{"cannot fetch " + server + "/OS_2.raw: server answered 404 Not Found"}},
		{Name: "http-page", Doc: "a web page in the place of an image", Cmdline: fromServer("/OS_1.raw"), Network: &Network{Dnsmasq: netlab.DHCP4, Web: &Web{Server: `location / { default_type text/html; return 200 "<html>log in"; }`}},
			Verdict: Refused, Must: []string{"cannot fetch " + server + "/OS_1.raw: the answer is a web page, not a file"}},
		{Name: "http-slow", Doc: "a server that sends 1 kB a second, and ddi.timeout=10", Cmdline: fromServer("/OS_1.raw") + " ddi.timeout=10", Network: slowly(web("signed", "OS_1.raw")),
			Verdict: Refused, Must: []string{"refused (reachable): cannot fetch " + server + "/OS_1.raw: it took too long"}},
		{Name: "http-silent", Doc: "a server that takes the request and says nothing, and ddi.timeout=10", Cmdline: fromServer(":"+badPort+"/silent/OS_1.raw") + " ddi.timeout=10", Network: behindBad("signed", "OS_1.raw", 0),
			Verdict: Refused, Must: []string{"cannot fetch " + server + ":" + badPort + "/silent/OS_1.raw: it took too long, and before that: the server said nothing for too long"}},
		{Name: "http-short", Doc: "a server that always breaks off in the middle", Cmdline: fromServer(":"+badPort+"/short/OS_1.raw") + " ddi.timeout=30", Network: behindBad("signed", "OS_1.raw", 0),
			Verdict: Refused, Must: []string{"cannot fetch " + server + ":" + badPort + "/short/OS_1.raw: ", "the connection broke"}},
		{Name: "http-endless", Doc: "an answer without end: cut at the memory that may be used", Cmdline: fromServer(":" + badPort + "/endless/OS_1.raw"), Network: behindBad("signed", "OS_1.raw", 0),
			Verdict: Refused, Must: []string{"refused (reachable): cannot fetch " + server + ":" + badPort + "/endless/OS_1.raw: too large: more than the"}, Limit: 400 * time.Second},
		{Name: "http-cut", Doc: "five boots over connections that are cut at six random places each: the right image every time", Cmdline: fromServer(":" + badPort + "/OS_1.raw"), Network: behindBad("signed", "OS_1.raw", 6),
			Verdict: Entered, Must: []string{entered, guest.Sentence}, Served: wasCut, Again: slices.Repeat([]Again{{Verdict: Entered, Must: []string{entered, guest.Sentence}, Served: wasCut}}, 4)},

		{Name: "http-index", Doc: "a signed index moves a fleet: one file on the server is changed, and the next boot has another version; and back", Cmdline: fromServer("/os/"), Network: withIndex("ddi", "signed9"),
			Verdict: Entered, Must: []string{"root hash {roothash signed9} signed by", guest.Sentence}, Check: fromWeb(server + "/os/OS_9.raw"),
			Again: []Again{
				{Web: &Web{Place: indexOf("ddi", "signed9", "signed10")}, Verdict: Entered, Must: []string{"root hash {roothash signed10} signed by", guest.Sentence}, Check: fromWeb(server + "/os/OS_10.raw")},
				{Web: &Web{Place: indexOf("ddi", "signed9")}, Verdict: Entered, Must: []string{"root hash {roothash signed9} signed by", guest.Sentence}},
			}},
		{Name: "http-index-image", Doc: "ddi.image= chooses among what an index has", Cmdline: fromServer("/os/") + " ddi.image=OS_9.raw", Network: withIndex("ddi", "signed9", "signed10"),
			Verdict: Entered, Must: []string{"root hash {roothash signed9} signed by", guest.Sentence}},
		{Name: "http-index-unsigned", Doc: "an index that nobody signed, of signed images", Cmdline: fromServer("/os/"), Network: withIndex("", "signed9"),
			Verdict: Refused, Must: []string{"the index is not acceptable: there is no signature beside it"}},
		{Name: "http-index-stranger", Doc: "an index that a stranger signed, of signed images", Cmdline: fromServer("/os/"), Network: withIndex("stranger", "signed9"),
			Verdict: Refused, Must: []string{"the index is not acceptable: cannot verify signature"}},
		{Name: "http-index-digest", Doc: "the file is another one than the index says, and the next version is right", Cmdline: fromServer("/os/"), Network: exchanged(withIndex("ddi", "signed9", "signed10")),
			Verdict: Entered, Must: []string{"the file is not the one that the index names", "root hash {roothash signed9} signed by", guest.Sentence}},

		{Name: "uefi-http", Doc: "firmware fetches the UKI from nginx, and stage 1 the image from where that was: no disk, no word on the command line but the source", Firmware: SecureHTTPBoot, Stub: "262", Cmdline: "ddi.source=http",
			Network: bootedFrom("tree/EFI/Linux/initddi.efi", "tree/loader/ddi/", "signed9", "signed10"), Limit: 400 * time.Second,
			Verdict: Entered, Must: []string{"Secure Boot on", "the firmware fetched the UKI from " + server + "/tree/EFI/Linux/initddi.efi", "entering " + server + "/tree/loader/ddi/OS_10.raw", guest.Sentence}, Served: firmwareCame},
	}
	for i := range cells {
		cells[i].Group = "web"
		if cells[i].Stage1 == "" {
			cells[i].Stage1 = "http"
		}
	}
	return cells
}

func withTLS(n *Network) *Network {
	n.Web.TLS = true
	return n
}

func slowly(n *Network) *Network {
	n.Web.Server = "limit_rate 1k;"
	return n
}

// exchanged puts another file in the place of the newest image.
func exchanged(n *Network) *Network {
	for i, p := range n.Web.Place {
		if p.Image == "signed10" {
			n.Web.Place[i].Image = "signed"
		}
	}
	return n
}

// bootedFrom is a network whose DHCP server sends firmware to a UKI, and whose web server has that, and an index in the directory dir.
func bootedFrom(uki, dir string, images ...string) *Network {
	n := withIndex("ddi", images...)
	for i, p := range n.Web.Place {
		n.Web.Place[i].Path = dir + strings.TrimPrefix(p.Path, "os/")
	}
	n.Web.UKI, n.Dnsmasq, n.Cards = uki, httpServer("/"+uki), []Card{{Boot: true}}
	return n
}

// fromWeb is the contract for an image that was fetched into memory.
func fromWeb(url string) func(*guest.Facts) []string {
	return func(f *guest.Facts) []string {
		c := &checker{elsewhere: true, held: 16 << 10}
		boot := c.common(f)
		c.ok(boot.Source == "http" && boot.URL == url && boot.Node == "" && boot.Partition == "" && len(boot.Extents) == 0, "boot.json says %+v", *boot)
		c.ok(len(f.Loops) == 1 && strings.Contains(f.Loops[0].Backing, "memfd:"), "the loop devices are %v, wanted one over memory", f.Loops)
		return c.wrong
	}
}

// wasCut reads badweb's log: six connections were cut, and the seventh was not.
func wasCut(logs map[string]string) []string {
	var wrong []string
	log := logs[BadWeb]
	if n := strings.Count(log, "badweb: cut behind"); n != 6 {
		wrong = append(wrong, fmt.Sprintf("%d connections were cut, wanted 6; %s", n, firstLine(log)))
	}
	if n := strings.Count(log, "badweb: GET /OS_1.raw"); n != 7 {
		wrong = append(wrong, fmt.Sprintf("the image was asked for %d times, wanted 7; %s", n, firstLine(log)))
	}
	return wrong
}

// firmwareCame reads nginx's log: it was the firmware that fetched the UKI.
func firmwareCame(logs map[string]string) []string {
	if !regexp.MustCompile(`nginx: 200 \d+ \S+ GET /tree/EFI/Linux/initddi.efi`).MatchString(logs[netlab.Nginx]) {
		return []string{"nobody fetched the UKI: " + logs[netlab.Nginx]}
	}
	return nil
}
