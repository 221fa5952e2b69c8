// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"strings"
)

// casesKeys sign with other keys, and trust others.
func casesKeys() []Case {
	unsign := func(d *DDI) { d.document("") }
	trust := func(names ...string) []string { return append([]string{}, names...) }
	cases := []Case{
		{Name: "key-stranger", Doc: "signed by a key that nobody trusts", DDI: signed("stranger", smime), Verdict: Refused, Layer: Signature, Says: "wanted one of 1 trusted certificates", Boot: true},
		{Name: "key-imposter", Doc: "signed by a key whose certificate has the subject and serial number of a trusted one", DDI: signed("imposter", smime), Verdict: Refused, Layer: Signature, Says: "cannot verify signature", Boot: true},
		{Name: "key-expired", Doc: "signed by a trusted key whose certificate expired in 2001: there is no clock to hold against it", DDI: signed("expired", smime), Trust: trust(good, "expired"), Verdict: Harmless, Layer: Accepted, Boot: true, Test: true},
		{Name: "key-expired-untrusted", Doc: "signed by an expired key that nobody trusts", DDI: signed("expired", smime), Verdict: Refused, Layer: Signature},
		{Name: "key-weak", Doc: "signed by a trusted RSA key of 1024 bits", DDI: signed("weak", smime), Trust: trust(good, "weak"), Verdict: Refused, Layer: Signature, Says: "1024", Boot: true},
		{Name: "key-p256", Doc: "signed by a trusted P-256 key", DDI: signed("p256", smime), Trust: trust(good, "p256"), Verdict: Harmless, Layer: Accepted, Boot: true},
		{Name: "key-p384", Doc: "signed by a trusted P-384 key", DDI: signed("p384", smime), Trust: trust(good, "p384"), Verdict: Harmless, Layer: Accepted, Boot: true},
		{Name: "key-p521", Doc: "signed by a trusted P-521 key", DDI: signed("p521", smime), Trust: trust(good, "p521"), Verdict: Harmless, Layer: Accepted},
		{Name: "key-ed25519", Doc: "signed by a trusted Ed25519 key", DDI: signedEd25519, Trust: trust(good, "ed25519"), Verdict: Harmless, Layer: Accepted},
		{Name: "key-next", Doc: "rotation: signed by the new key, both trusted", DDI: signed("next", smime), Trust: trust(good, "next"), Verdict: Harmless, Layer: Accepted, Boot: true},
		{Name: "key-old", Doc: "after a rotation: signed by the old key, only the new one trusted", Trust: trust("next"), Verdict: Refused, Layer: Signature, Says: "wanted one of 1 trusted certificates", Boot: true},
		{Name: "key-nobody", Doc: "a trust store without certificates", Trust: trust(), Verdict: Refused, Layer: Signature, Says: "the trust store, which is empty"},
		{Name: "key-denied", Doc: "signed by a trusted key that deny-cert lists", Config: []string{"deny-cert={certificate ddi}"}, Verdict: Refused, Layer: Denied, Says: "one that deny-cert does not list", Boot: true},
		{Name: "key-denied-other", Doc: "signed by a trusted key, another is on the list", Trust: trust(good, "next"), Config: []string{"deny-cert={certificate next}"}, Verdict: Harmless, Layer: Unread},
		{Name: "roothash-denied", Doc: "a signed image whose root hash is on the list", Config: []string{"deny-roothash={roothash}"}, Verdict: Refused, Layer: Denied, Says: "one that deny-roothash does not list", Boot: true},
		{Name: "roothash-denied-pinned", Doc: "a pinned image whose root hash is on the list, too", Config: []string{"pin={roothash}", "deny-roothash={roothash}"}, Verdict: Refused, Layer: Denied, Says: "one that deny-roothash does not list"},
		{Name: "pin-unsigned", Doc: "unsigned, its root hash built into stage 1", DDI: unsign, Config: []string{"pin={roothash}"}, Verdict: Harmless, Layer: Accepted, Boot: true},
		{Name: "pin-stranger", Doc: "signed by a stranger, its root hash built into stage 1", DDI: signed("stranger", smime), Config: []string{"pin={roothash}"}, Verdict: Harmless, Layer: Accepted},
		{Name: "pin-denied-key", Doc: "signed by a denied key, its root hash built into stage 1: the pin is enough", Config: []string{"pin={roothash}", "deny-cert={certificate ddi}"}, Verdict: Harmless, Layer: Unread},
		{Name: "pin-of-other", Doc: "unsigned, the pin built into stage 1 is that of another image", DDI: unsign, Config: []string{"pin=" + strings.Repeat("ab", 32)}, Verdict: Refused, Layer: Signature, Says: "the image has no signature partition", Boot: true},
		{Name: "pin-altered", Doc: "a pinned image with a flipped bit", DDI: func(d *DDI) { unsign(d); d.flip(d.Data.Offset + 1024 + 20) }, Config: []string{"pin={roothash}"}, Verdict: Refused, Layer: Verity, Boot: true},
		{Name: "two-signers", Doc: "signed by a trusted key and by a stranger", DDI: func(d *DDI) { twoSigners(d, good, "stranger") }, Verdict: Harmless, Layer: Accepted},
		{Name: "two-strangers", Doc: "signed by two strangers", DDI: func(d *DDI) { twoSigners(d, "expired", "stranger") }, Verdict: Refused, Layer: Signature, Says: "wanted one of 1 trusted certificates"},
		{Name: "two-signers-imposter", Doc: "signed by a trusted key and by somebody who goes by its name", DDI: func(d *DDI) { twoSigners(d, good, "imposter") }, Verdict: Refused, Layer: Signature, Says: "cannot verify signature"},
	}
	for i := range cases {
		cases[i].Group = "keys"
	}
	return cases
}

// twoSigners signs with two keys in one message.
func twoSigners(d *DDI, first, second string) {
	p, err := d.Keys.Pair(second)
	must(err)
	signed(first, smime, "-signer", p.Cert, "-inkey", p.Key)(d)
}

// casesCommandLine say on the command line what only stage 1's own settings may.
func casesCommandLine() []Case {
	unsign := func(d *DDI) { d.document("") }
	cases := []Case{
		{Name: "cmdline-roothash-unsigned", Doc: "an unsigned image that ddi.roothash= names", DDI: unsign, Cmdline: "ddi.roothash={roothash}", Verdict: Refused, Layer: Signature, Says: "the image has no signature partition", Boot: true},
		{Name: "cmdline-roothash-stranger", Doc: "a stranger's image that ddi.roothash= names", DDI: signed("stranger", smime), Cmdline: "ddi.roothash={roothash}", Verdict: Refused, Layer: Signature, Boot: true},
		{Name: "cmdline-roothash-other", Doc: "a signed image that is not the one ddi.roothash= names", Cmdline: "ddi.roothash=" + strings.Repeat("ab", 32), Verdict: Refused, Layer: Pin, Says: "wanted ddi.roothash=abab", Boot: true},
		{Name: "cmdline-roothash-half", Doc: "half a root hash", Cmdline: "ddi.roothash=" + strings.Repeat("ab", 16), Verdict: Refused, Layer: CommandLine, Says: "a whole root hash"},
		{Name: "cmdline-roothash-twice", Doc: "ddi.roothash= twice: the image's and another", Cmdline: "ddi.roothash=" + strings.Repeat("ab", 32) + " ddi.roothash={roothash}", Verdict: Refused, Layer: CommandLine, Says: "given more than once", Boot: true},
		{Name: "cmdline-roothash-twice-same", Doc: "ddi.roothash= twice, the same", Cmdline: "ddi.roothash={roothash} ddi.roothash={roothash}", Verdict: Refused, Layer: CommandLine, Says: "given more than once"},
		{Name: "cmdline-roothash-quoted", Doc: "a second ddi.roothash= in quotes", Cmdline: `ddi.roothash={roothash} "ddi.roothash=` + strings.Repeat("ab", 32) + `"`, Verdict: Refused, Layer: CommandLine, Says: "given more than once"},
		{Name: "cmdline-pin", Doc: "a pin for an unsigned image", DDI: unsign, Cmdline: "ddi.pin={roothash}", Verdict: Refused, Layer: CommandLine, Says: "can only be built into stage 1", Boot: true, Test: true},
		{Name: "cmdline-pin-behind-dashes", Doc: "a pin behind --, where the next init's arguments are", DDI: unsign, Cmdline: "-- ddi.pin={roothash}", Verdict: Refused, Layer: Signature},
		{Name: "cmdline-id", Doc: "another ID to be accepted", Cmdline: "ddi.id=other", Verdict: Refused, Layer: CommandLine, Says: "can only be built into stage 1"},
		{Name: "cmdline-min-version", Doc: "a lower version to be accepted", Cmdline: "ddi.min-version=0", Verdict: Refused, Layer: CommandLine, Says: "can only be built into stage 1", Boot: true},
		{Name: "cmdline-min-version-underscore", Doc: "the same with an underscore", Cmdline: "ddi.min_version=0", Verdict: Refused, Layer: CommandLine, Says: "can only be built into stage 1"},
		{Name: "cmdline-kind", Doc: "another kind of image to be accepted", Cmdline: "ddi.kind=initrd", Verdict: Refused, Layer: CommandLine, Says: "can only be built into stage 1"},
		{Name: "cmdline-deny-cert", Doc: "an empty list of revoked keys", Cmdline: "ddi.deny-cert=", Verdict: Refused, Layer: CommandLine, Says: "can only be built into stage 1"},
		{Name: "cmdline-allow-key", Doc: "another command-line key to be allowed", Cmdline: "ddi.allow-key=init", Verdict: Refused, Layer: CommandLine, Says: "can only be built into stage 1"},
		{Name: "cmdline-unknown", Doc: "a key that looks like one", Cmdline: "ddi.root-hash={roothash}", Verdict: Refused, Layer: CommandLine, Says: "unknown key"},
		{Name: "cmdline-upper-case", Doc: "a key in upper case", Cmdline: "ddi.RootHash={roothash}", Verdict: Refused, Layer: CommandLine, Says: "unknown key"},
		{Name: "cmdline-shell", Doc: "a shell that was not built in", Cmdline: "ddi.break=mount", Verdict: Refused, Layer: CommandLine, Says: "no shell was built into it"},
		{Name: "cmdline-fail-shell", Doc: "a shell after the refusal, which was not built in", DDI: unsign, Cmdline: "ddi.fail=shell", Verdict: Refused, Layer: CommandLine, Says: "no shell was built into it", Boot: true},
		{Name: "cmdline-usrhash", Doc: "an image of a root for which a hash of /usr is asked", Cmdline: "ddi.usrhash={roothash}", Verdict: Refused, Layer: Pin},
		{Name: "cmdline-image-escape", Doc: "an image outside of the file system", Cmdline: "ddi.image=../../os.raw", Verdict: Refused, Layer: CommandLine, Says: "a file name, a path"},
		{Name: "cmdline-policy-unsigned", Doc: "a policy that lets everything through, for an unsigned image", DDI: unsign, Cmdline: "ddi.policy=*", Verdict: Refused, Layer: Signature, Boot: true},
		{Name: "cmdline-policy-unprotected", Doc: "a policy that wants no protection", Cmdline: "ddi.policy=root=unprotected", Verdict: Refused, Layer: CommandLine, Says: "nothing is left of what was built in", Boot: true},
		{Name: "cmdline-policy-verity", Doc: "a policy that is content with a root hash that nobody signed", DDI: unsign, Cmdline: "ddi.policy=root=verity+signed", Verdict: Refused, Layer: Signature},
		{Name: "cmdline-policy-rubbish", Doc: "a policy that is none", Cmdline: "ddi.policy=root=everything", Verdict: Refused, Layer: CommandLine},
		{Name: "cmdline-policy-twice", Doc: "two policies", Cmdline: "ddi.policy=root=signed ddi.policy=*", Verdict: Refused, Layer: CommandLine, Says: "given more than once"},
		{Name: "cmdline-policy-narrow", Doc: "a policy that excludes the image's file system", Cmdline: "ddi.policy=root=signed+squashfs", Verdict: Refused, Layer: Policy, Says: "found file system erofs", Boot: true},
		{Name: "cmdline-policy-pinned", Doc: "a pinned image under a policy that wants a signature", DDI: unsign, Config: []string{"pin={roothash}"}, Cmdline: "ddi.policy=root=signed", Verdict: Refused, Layer: Policy, Says: "pinned and not signed"},
		{Name: "cmdline-attach", Doc: "a copy in memory of a tampered image", DDI: func(d *DDI) { d.flip(d.Data.Offset + 1024 + 20) }, Cmdline: "ddi.attach=copy", Verdict: Refused, Layer: Verity, Boot: true},
	}
	for i := range cases {
		cases[i].Group = "command-line"
	}
	return cases
}

// casesSettings have an initddi.conf on the ESP, where everybody can write.
func casesSettings() []Case {
	const dir = "loader/ddi"
	unsigned := func(text string) func(*Disk) {
		return func(v *Disk) { v.write(dir, "initddi.conf", []byte(text)) }
	}
	unsign := func(d *DDI) { d.document("") }
	cases := []Case{
		{Name: "conf-policy", Doc: "a policy that lets everything through", Volume: unsigned("policy=*\n"), Verdict: Harmless, Layer: Settings, Says: "can only be built into stage 1", Boot: true},
		{Name: "conf-policy-unsigned-image", Doc: "a policy that lets everything through, beside an unsigned image", DDI: unsign, Volume: unsigned("policy=*\n"), Verdict: Refused, Layer: Signature, Says: "the image has no signature partition", Boot: true},
		{Name: "conf-pin", Doc: "a pin for an unsigned image", DDI: unsign, Volume: unsigned("pin=" + strings.Repeat("ab", 32) + "\n"), Verdict: Refused, Layer: Signature, Says: "the image has no signature partition"},
		{Name: "conf-roothash", Doc: "the root hash of another image, which is one condition more", Volume: unsigned("roothash=" + strings.Repeat("ab", 32) + "\n"), Verdict: Refused, Layer: Pin, Says: "wanted ddi.roothash=abab"},
		{Name: "conf-roothash-unsigned-image", Doc: "the root hash of an unsigned image", DDI: unsign, Volume: unsigned("roothash=" + strings.Repeat("ab", 32) + "\n"), Verdict: Refused, Layer: Signature, Says: "the image has no signature partition"},
		{Name: "conf-id", Doc: "another ID to be accepted", Volume: unsigned("id=other\n"), Verdict: Harmless, Layer: Settings, Says: "can only be built into stage 1"},
		{Name: "conf-min-version", Doc: "a lower version to be accepted", Volume: unsigned("min-version=0\n"), Verdict: Harmless, Layer: Settings, Says: "can only be built into stage 1"},
		{Name: "conf-init", Doc: "another init", Volume: unsigned("init=/bin/sh\n"), Verdict: Harmless, Layer: Settings, Says: "signed by the trust store", Boot: true},
		{Name: "conf-corruption", Doc: "what is done about corrupt blocks", Volume: unsigned("corruption=eio\n"), Verdict: Harmless, Layer: Settings, Says: "signed by the trust store"},
		{Name: "conf-unknown", Doc: "a key that nobody knows", Volume: unsigned("nosuch=1\n"), Verdict: Harmless, Layer: Settings, Says: "unknown key"},
		{Name: "conf-twice", Doc: "a key twice", Volume: unsigned("image=os*\nimage=*\n"), Verdict: Harmless, Layer: Settings, Says: "given more than once"},
		{Name: "conf-binary", Doc: "something that is no text", Volume: unsigned("\x00\xff\x1b[2J\n"), Verdict: Harmless, Layer: Settings},
		{Name: "conf-large", Disk: "fat16", Doc: "a megabyte of comments", Volume: unsigned(strings.Repeat("# nothing\n", 100_000)), Verdict: Harmless, Layer: Settings, Boot: true},
		{Name: "conf-signature-rubbish", Doc: "a signature that is none", Volume: func(v *Disk) {
			unsigned("log=info\n")(v)
			v.write(dir, "initddi.conf.p7s", []byte("rubbish"))
		}, Verdict: Harmless, Layer: Settings, Says: "cannot parse signature", Boot: true},
		{Name: "conf-signature-empty", Doc: "a signature of no bytes", Volume: func(v *Disk) {
			unsigned("log=info\n")(v)
			longName(v, dir, "initddi.conf.p7s", checksum, func(s [][]byte) { v.setFirst(s[len(s)-1], 0); set32(slotFileSize, 0)(s[len(s)-1]) })
		}, Verdict: Harmless, Layer: Settings},
		{Name: "conf-size", Doc: "a file that is said to have 4 GiB less a byte", Volume: func(v *Disk) {
			longName(v, dir, "initddi.conf", checksum, func(s [][]byte) { set32(slotFileSize, 1<<32-1)(s[len(s)-1]) })
		}, Verdict: Harmless, Layer: Settings, Boot: true},
		{Name: "conf-directory", Doc: "a directory of that name", Volume: func(v *Disk) {
			longName(v, dir, "initddi.conf", checksum, func(s [][]byte) { s[len(s)-1][slotAttr] = attrDir; v.setFirst(s[len(s)-1], v.free(1)[0]) })
		}, Verdict: Harmless, Layer: Unread},
	}
	for i := range cases {
		cases[i].Group = "settings"
		cases[i].Doc = "initddi.conf, unsigned: " + cases[i].Doc
	}
	return cases
}
