// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// explanation is a disagreement that is meant.
type explanation struct {
	name, why string
	// match says whether a difference is this one; nil if spoils is what counts.
	match func(c *testCase, d *difference) bool
	// spoils says whether in this step it happened that the two went different ways: from then on all differences follow from it.
	spoils func(c *testCase, theirs, ours *outcome) bool
}

// explanations are all disagreements that are meant. docs/EXTENSIONS.md says the same in words.
func explanations() []explanation {
	return []explanation{
		{
			name: "metadata", why: "257 does not know the files origin and backing, which 262 and sysextmerge write",
			match: func(c *testCase, d *difference) bool {
				return d.Theirs == "" && (strings.HasSuffix(d.What, "/.systemd-"+c.Class+"/origin") || strings.HasSuffix(d.What, "/.systemd-"+c.Class+"/backing"))
			},
		},
		{
			name: "none", why: "257 writes \"none\" where 262 and sysextmerge have an empty list of extensions",
			match: func(_ *testCase, d *difference) bool {
				return d.What == "json" && sameLists(d.Theirs, d.Ours)
			},
		},
		{
			name: "descriptor", why: "a layer whose path is too long for the mount interface, or has a colon in it, is named by a descriptor",
			match: func(_ *testCase, d *difference) bool {
				return strings.HasPrefix(d.What, "mount ") && strings.Contains(d.Ours, "layer /proc/thread-self/fd/") && sameLayers(d.Theirs, d.Ours)
			},
		},
		{
			name: "order", why: "of two entries for one name in one directory, with and without the suffix of the class, 257 takes the one that it reads first",
			spoils: func(c *testCase, _, ours *outcome) bool {
				const list = " list --json=short"
				return (c.is("class suffix") || c.is("versions")) && sameNames(ours.state["theirs"+list], ours.state["ours"+list]) && ours.state["theirs"+list] != ours.state["ours"+list]
			},
		},
		{
			name: "link shown", why: "list of 257 shows a link, 262 and sysextmerge what it leads to",
			match: func(c *testCase, d *difference) bool {
				return strings.HasPrefix(d.What, "list ") && c.is("link without root")
			},
		},
		{
			name: "link", why: "257 skips links in the search path if there is --root=, 262 and sysextmerge follow them inside of the root",
			match: func(c *testCase, d *difference) bool { return strings.HasPrefix(d.What, "list ") && c.is("link") },
			spoils: func(c *testCase, theirs, ours *outcome) bool {
				const list = " list --json=short"
				return c.is("link") && (movedName(ours.state["theirs"+list], ours.state["ours"+list]) || usedNames(theirs.said) != usedNames(ours.said) || strings.Contains(ours.said, "it has /usr/lib/os-release"))
			},
		},
		{
			name: "odd name", why: "257 cannot merge an extension with a comma, a colon or a backslash in its name",
			// Where it does not get as far as mounting, it shows the name without the backslash.
			match: func(_ *testCase, d *difference) bool {
				return d.What == "json" && strings.Contains(d.Ours, `\\`) && sameLists(d.Theirs, strings.ReplaceAll(d.Ours, `\\`, ""))
			},
			spoils: func(_ *testCase, theirs, ours *outcome) bool {
				return theirs.state["exit"] == "1" && ours.state["exit"] == "0" && strings.Contains(theirs.said, "Failed to mount") && strings.ContainsAny(usedNames(theirs.said), `:\,`)
			},
		},
		{
			name: "mutable", why: "257 leaves a hierarchy alone for which no extension has anything, also where it is to be mutable",
			spoils: func(c *testCase, theirs, ours *outcome) bool {
				if !c.is("mutable") {
					return false
				}
				for what, text := range ours.state {
					if strings.HasPrefix(what, "mount ") && strings.HasPrefix(text, "overlay ") && theirs.state[what] == "" && !strings.Contains(text, "/run/systemd/sysext/"+plural(c)+"/") {
						return true
					}
				}
				if theirs.state["exit"] == "0" && ours.state["exit"] == "1" && (strings.Contains(ours.said, "must have the permissions of the hierarchy") || strings.Contains(ours.said, "is the hierarchy itself")) {
					return true
				}
				none := strings.Contains(theirs.said, "No extensions found.") || strings.Contains(theirs.said, "No suitable extensions found")
				return none && strings.Contains(ours.said, "proceeding in mutable mode")
			},
		},
		{
			name: "mutable link", why: "257 follows a link from extensions.mutable to the hierarchy out of --root= when it makes it and looks at its permissions",
			spoils: func(c *testCase, theirs, ours *outcome) bool {
				if !c.Root || !c.is("linked mutable") {
					return false
				}
				return theirs.state["exit"] == "1" && ours.state["exit"] == "0" && strings.Contains(theirs.said, "ought to have mode") ||
					theirs.state["exit"] == "0" && ours.state["exit"] == "1" && strings.Contains(ours.said, "cannot make the mutable directory")
			},
		},
		{
			name: "nested mounts", why: "257 fails an assertion and aborts where mounts below a hierarchy have mounts below them; what was mounted is lost",
			spoils: func(c *testCase, theirs, _ *outcome) bool {
				return c.is("nested submounts") && strings.Contains(theirs.said, "Assertion 'original_path' failed")
			},
		},
		{
			name: "lost mounts", why: "where a merge fails in the middle, 257 loses what was mounted below the hierarchies; with sysextmerge all is as it was",
			spoils: func(c *testCase, theirs, ours *outcome) bool {
				return c.is("submounts") && theirs.state["exit"] == "1" && ours.state["exit"] == "1" && fewerMounts(theirs, ours)
			},
		},
		{
			name: "failed refresh", why: "257 has unmerged already when it finds that a refresh cannot be; with sysextmerge the old merge is still there",
			spoils: func(_ *testCase, theirs, ours *outcome) bool {
				return strings.HasSuffix(theirs.step, " refresh") && theirs.state["exit"] == "1" && ours.state["exit"] == "1" && fewerMounts(theirs, ours)
			},
		},
		{
			name: "hollow", why: "257 replaces a hierarchy for which no extension has anything, and below which something is mounted, by an empty one with that mount",
			spoils: func(c *testCase, theirs, ours *outcome) bool {
				for what, text := range theirs.state {
					if strings.HasPrefix(what, "mount ") && strings.HasPrefix(text, "tmpfs "+c.Class+" ") && ours.state[what] == "" && c.is("submounts") {
						return true
					}
				}
				return false
			},
		},
		{
			name: "left behind", why: "where a merge fails in the middle, 257 leaves the overlay's work directory and a mutable directory with changed permissions",
			match: func(c *testCase, d *difference) bool {
				behind := d.Ours == "" && strings.Contains(d.What, "/.systemd-") && strings.Contains(d.What, "-workdir")
				touched := strings.HasPrefix(d.What, "file ") && strings.Contains(d.Theirs, " trusted.overlay.") && !strings.Contains(d.Ours, " trusted.overlay.")
				// An upper directory that was used once has a UUID, and the kernel says so the next time.
				uuid := strings.HasPrefix(d.What, "mount ") && strings.ReplaceAll(d.Theirs, ", uuid=on", "") == strings.ReplaceAll(d.Ours, ", uuid=on", "")
				return c.is("mutable") && d.failed && (behind || touched || uuid)
			},
		},
		{
			name: "initrd", why: "257 asks whether the running system is an initrd, 262 and sysextmerge whether the root is",
			match: func(c *testCase, d *difference) bool {
				return strings.HasPrefix(d.What, "list ") && c.is("initrd") && !c.is("told")
			},
			spoils: func(c *testCase, theirs, ours *outcome) bool {
				return c.is("initrd") && !c.is("told") && usedNames(theirs.said) != usedNames(ours.said)
			},
		},
		{
			name: "syntax", why: "a line that shells and systemd read differently is an error: what decides about identity must have one meaning",
			spoils: func(c *testCase, theirs, ours *outcome) bool {
				return c.is("syntax") && strings.Contains(ours.said, "cannot parse os-release")
			},
		},
	}
}

func plural(c *testCase) string {
	if c.Class == "confext" {
		return "confexts"
	}
	return "extensions"
}

// usedNames returns what a tool said that it uses.
func usedNames(said string) string {
	_, rest, _ := strings.Cut(said, "Using extensions ")
	line, _, _ := strings.Cut(rest, "\n")
	return line
}

// fewerMounts reports whether all that is mounted after theirs is after ours, too, and more.
func fewerMounts(theirs, ours *outcome) bool {
	n := 0
	for what, text := range theirs.state {
		if strings.HasPrefix(what, "mount ") {
			n++
			if ours.state[what] != text {
				return false
			}
		}
	}
	for what := range ours.state {
		if strings.HasPrefix(what, "mount ") {
			n--
		}
	}
	return n < 0
}

// paths returns the names in a list, in JSON, with their paths.
func paths(list string) map[string]string {
	_, text, _ := strings.Cut(list, " ")
	var rows []struct{ Name, Path string }
	out := map[string]string{}
	if json.Unmarshal([]byte(text), &rows) == nil {
		for _, r := range rows {
			out[r.Name] = r.Path
		}
	}
	return out
}

// sameNames reports whether two lists have the same names.
func sameNames(a, b string) bool {
	return slices.Equal(slices.Sorted(maps.Keys(paths(a))), slices.Sorted(maps.Keys(paths(b))))
}

// movedName reports whether two lists have a name at different paths.
func movedName(a, b string) bool {
	other := paths(b)
	for name, path := range paths(a) {
		if p, ok := other[name]; ok && p != path {
			return true
		}
	}
	return false
}

// sameLists compares two statuses, one of which writes "none" for an empty list.
func sameLists(theirs, ours string) bool {
	const none, empty = `"extensions":"none"`, `"extensions":[]`
	return strings.ReplaceAll(theirs, none, empty) == strings.ReplaceAll(ours, none, empty)
}

// sameLayers compares two mounts but for those layers of ours that have no names.
func sameLayers(theirs, ours string) bool {
	a, b := strings.Split(theirs, ", "), strings.Split(ours, ", ")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !(strings.Contains(a[i], "layer /") && strings.Contains(b[i], "layer /proc/thread-self/fd/")) {
			return false
		}
	}
	return true
}

// explain gives each difference of two plays the name of its explanation.
func explain(c *testCase, list []difference, theirs, ours []outcome) {
	all := explanations()
	spoilt := make([]string, len(theirs))
	for i := range min(len(theirs), len(ours)) {
		if i > 0 {
			spoilt[i] = spoilt[i-1]
		}
		for _, e := range all {
			if spoilt[i] == "" && e.spoils != nil && e.spoils(c, &theirs[i], &ours[i]) {
				spoilt[i] = e.name
			}
		}
	}
	failed := 0 // how many outcomes came before one that failed in both
	for failed < len(spoilt) && (theirs[failed].state["exit"] != "1" || failed < len(ours) && ours[failed].state["exit"] != "1") {
		failed++
	}
	for i := range list {
		d := &list[i]
		d.failed = d.index >= failed
		for _, e := range all {
			if d.Reason == "" && e.match != nil && e.match(c, d) {
				d.Reason = e.name
			}
		}
		if d.Reason == "" {
			d.Reason = spoilt[d.index]
		}
	}
}
