// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

// helpText says what a person needs to begin. The manual page, sysextmerge(8), says the rest.
const helpText = `sysextmerge [OPTION...] [COMMAND]

Merge system extensions (sysexts) into /usr and /opt, or with --confext configuration
extensions (confexts) into /etc: directories and disk images that add files to a system
without changing it. Verbs, options, places and rules are those of systemd-sysext and
systemd-confext, and each sees the merges of the other as its own.

Commands:
  status                  Show what is merged (default)
  list                    Show which extensions are installed
  merge                   Merge all that fit. An error if there is a merge already
  unmerge                 Take them out again
  refresh                 Make the merge what a new one would be
  help  -h --help         Show this help
        --version         Show the version

Where extensions lie, the first directory that has a name decides about it:
  sysexts   /etc/extensions /run/extensions /var/lib/extensions
  confexts  /run/confexts /var/lib/confexts /usr/local/lib/confexts /usr/lib/confexts
as NAME/, NAME.raw, NAME.sysext.raw, or the newest in NAME.raw.v/NAME_VERSION.raw.
One that is for another system is left out, and standard error says why. An empty
directory NAME in an earlier directory switches an extension off.

Options:
     --confext            Configuration extensions. Also if the program is called by a
                          name with "confext" in it
     --root=PATH          Work on the system in this directory
     --force              Merge also what is for another system
     --mutable=MODE       Where what is written goes: no (nothing can be written), yes
                          (/var/lib/extensions.mutable), auto (there, if it exists),
                          import (no, but what was written there before is seen),
                          ephemeral (memory), ephemeral-import
     --noexec=BOOL        Whether programs in the merged hierarchy can be run; default:
                          yes in /usr and /opt, no in /etc
     --image-policy=POLICY
                          What disk images must have, as systemd writes it
     --trust=PLACE        Take certificates (PEM) from a file, or from the *.crt in a
                          directory, and from nowhere else. Can be repeated. Default:
                          /etc/verity.d /run/verity.d /usr/local/lib/verity.d
                          /usr/lib/verity.d
     --no-reload          Do not have the service manager read its units again where an
                          extension asks for it
     --json=MODE          Print JSON: pretty, short, or off
     --always-refresh=BOOL
                          Accepted for scripts: refresh always makes the merge anew
     --no-legend          Print tables without their heads
     --no-pager           Accepted for scripts; there is no pager

Exit status: 0 all is well, also if nothing fits; 1 something failed, and all is as it
was before.

Examples:
  sysextmerge list
  sysextmerge merge && sysextmerge status
  sysextmerge --root=/sysroot --json=short status
  sysextmerge --confext refresh
`
