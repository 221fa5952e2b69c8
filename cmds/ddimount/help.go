// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

// helpText says what a person needs to begin. The manual page, ddimount(8), says the rest.
const helpText = `ddimount [OPTION...] IMAGE
ddimount [OPTION...] --validate IMAGE
ddimount [OPTION...] --mount IMAGE PATH
ddimount [OPTION...] --umount PATH

Look at, check, mount or unmount a discoverable disk image (DDI): a file or a block
device with a GPT, a file system, its dm-verity hash tree and a signature.

An image is taken or refused as stage 1 takes or refuses it: its root hash must be
signed by a certificate of the trust store. To look at one that is not, say
--allow-unverified. To use one whose root hash you know, say --root-hash=.

Commands:
  (none)                  Show partitions, signature and verdict. Nothing below the
                          signature is read before the signature was found good
     --validate           Read the whole image and hold every block against the
                          root hash
  -m --mount              Mount the image at a directory, read-only. Needs root.
                          Blocks are checked as they are read
  -M                      Shortcut for --mount --mkdir
  -u --umount             Unmount it. Its devices go away by themselves
  -U                      Shortcut for --umount --rmdir
  -h --help               Show this help
     --version            Show the version

Trust:
     --trust=PLACE        Take certificates (PEM) from a file, or from the *.crt in
                          a directory, and from nowhere else. Can be repeated.
                          Default: /etc/verity.d /run/verity.d
                          /usr/local/lib/verity.d /usr/lib/verity.d
     --root-hash=HASH     Take this root hash and no other; no signature is needed
     --root-hash-sig=SIG  Take the signature from a file (PKCS#7, DER), or from
                          the text behind 'base64:', and not from the image
     --image-policy=POLICY
                          Take only what this image policy allows, as systemd
                          writes them. Default: root=signed+absent:
                          usr=signed+absent:=ignore, with verity as well if there
                          is --root-hash=
     --allow-unverified   Show also what a refused image says of itself, and do not
                          fail because of it. Believe nothing of it

Options:
     --mkdir              Make the mount directory if it is missing
     --rmdir              Remove the mount directory after unmounting
     --json=MODE          Print JSON: pretty (also without MODE), short, or off
     --no-legend          Print the table without its head
     --no-pager -r --read-only
                          Accepted for scripts that are made for systemd-dissect;
                          there is no pager, and nothing is mounted writable

Exit status: 0 all is well; 1 the image was refused, or something failed; 2 the
command line makes no sense.

Examples:
  ddimount debian_13.raw
  ddimount --trust=ddi.crt --validate debian_13.raw
  ddimount --trust=ddi.crt -M debian_13.raw /mnt/debian && ls /mnt/debian
  ddimount -U /mnt/debian
`
