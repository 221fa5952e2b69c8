// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

// What the verbs for web servers teach. The manual page, ddifetch(8), says the rest.
const (
	getHelp = `ddifetch get [OPTION...] URL...
ddifetch [OPTION...] URL...

Fetch a disk image (DDI) from a web server into a file. Connections that break are
taken up where they broke; a server that fails is asked again, after growing
pauses; several URLs are places of the same thing, and are tried in their order.

A URL that ends in / is a directory with an index: SHA256SUMS, as sha256sum writes
it, and SHA256SUMS.p7s, a signature of that by a key whose certificate is in the
trust store (initddi sign). Of an index the newest image for this machine is
fetched. In a URL, %a stands for the architecture, as x86-64.

What was fetched is not believed because of where it came from: ddimount IMAGE
says what stage 1 thinks of it.

Options:
  -o --output=PLACE       Write to this file, or into this directory. Default: the
                          name in the URL, here
     --force              Replace a file that exists
     --alone              Leave out what lies beside the image (NAME.roothash,
                          NAME.roothash.p7s, NAME.usrhash, NAME.usrhash.p7s,
                          NAME.verity)
     --limit=SIZE         Fetch nothing that is larger: bytes, or with K, M, G
                          behind it. Default: 8G
` + webHelp + `
Examples:
  ddifetch http://192.0.2.1/images/OS_1.2.raw
  ddifetch --output=/tmp/os.raw https://images.example.com/os/ && ddimount /tmp/os.raw
`
	indexHelp = `ddifetch index [OPTION...] URL...

Show which images a web server has, best first. The URL is that of a directory, and
ends in /. In it are SHA256SUMS, as sha256sum writes it, and SHA256SUMS.p7s, a
signature of that by a key whose certificate is in the trust store (initddi sign).
Of several URLs the first is shown that has an index.

Options:
     --no-legend          Print the table without its head
` + webHelp + `
Examples:
  ddifetch index https://images.example.com/os/
  ddifetch index --json --image='OS_1.*' http://192.0.2.1/
`
	webHelp = `     --image=NAME         Of an index, images of this name, which can be a
                          pattern: 'OS_1.*.raw'
     --arch=ARCH          Of an index, images for this architecture
     --trust=PLACE        Check an index with certificates (PEM) from a file, or
                          from the *.crt in a directory, and with no others. Can
                          be repeated. Default: /etc/verity.d /run/verity.d
                          /usr/local/lib/verity.d /usr/lib/verity.d
     --ca=FILE            Check https servers with these CA certificates (PEM)
                          Default: /etc/ssl/certs/ca-certificates.crt
     --timeout=TIME       How long it may take until something arrives: seconds,
                          or 90s, 5m; from then on, how far it may be behind
                          64 KiB a second. Default: 60
  -q --quiet              Show no progress and no retries
     --json=MODE          Print JSON: pretty (also without MODE), short, or off
  -h --help               Show this help
`
	bootHelp = `ddifetch boot --source=http --list [--url=URL]... [OPTION...]
ddifetch boot --source=http --get=URL --memory=BYTES [OPTION...]
ddifetch boot --source=nbd --list --url=URL... [OPTION...]
ddifetch boot --source=nbd --get=URL [OPTION...]

Do what storageinit asks for, as the chapter on sources of docs/ARCHITECTURE.md
says: what comes of it is told in lines of JSON, to file descriptor 4, or to
standard output if that is not open. With --list these are the images that there
are, best first; without --url they are looked for where the firmware fetched the
UKI from. With --get the file goes into file descriptor 3, which must be an empty
file; an export of an NBD server becomes a block device instead.

Options:
  --timeout=SECONDS       How long --list may take, and --get until the first byte
  --sha256=HEX            The digest that the file must have
  --ip=VALUE              How the network is to be brought up, as ddi.ip= says it
  --log=LEVEL             err, info (the default), or debug: every answer is told
  -h --help               Show this help

Example:
  ddifetch boot --source=http --list --timeout=60 --url=http://192.0.2.1/
`
)
