#!/bin/sh
# Copyright 2026 the initddi Authors. All rights reserved.
# Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.
#
# Makes the vectors in this directory with OpenSSL 3. The private keys live in a temporary directory and are thrown away,
# so nothing more can ever be signed for these certificates: running this replaces every vector.
# repart.json and repart.crt are the exception; README.md says how they were made.
set -eu
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

printf %s 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f >roothash

# cert NAME SUBJECT KEYTYPE [openssl req options]
cert() {
	name=$1 subject=$2 key=$3
	shift 3
	openssl req -x509 -newkey "$key" -nodes -keyout "$tmp/$name.key" -out "$name.crt" -subj "/CN=$subject" -days 36500 "$@" 2>/dev/null
}
# smime NAME SIGNER [options], cms NAME SIGNER [options]
smime() {
	name=$1 signer=$2
	shift 2
	openssl smime -sign -binary -outform DER -in roothash -signer "$signer.crt" -inkey "$tmp/$signer.key" -out "$name.p7s" "$@"
}
cms() {
	name=$1 signer=$2
	shift 2
	openssl cms -sign -binary -outform DER -in roothash -signer "$signer.crt" -inkey "$tmp/$signer.key" -out "$name.p7s" "$@"
}

cert rsa2048 "initddi test rsa2048" rsa:2048 -set_serial 0x1001
cert imposter "initddi test rsa2048" rsa:2048 -set_serial 0x1001
cert rsa1024 "initddi test rsa1024" rsa:1024
cert p256 "initddi test p256" ec -pkeyopt ec_paramgen_curve:P-256
cert p384 "initddi test p384" ec -pkeyopt ec_paramgen_curve:P-384
cert negative "initddi test negative serial" ec -pkeyopt ec_paramgen_curve:P-256 -set_serial -129
cert long "initddi test long serial" ec -pkeyopt ec_paramgen_curve:P-256 -set_serial 0x80f1f2f3f4f5f6f7f8f9fafbfcfdfeff00112233445566778899aabbccddeeff0011
openssl req -new -newkey rsa:2048 -nodes -keyout "$tmp/expired.key" -subj "/CN=initddi test expired" -out "$tmp/expired.csr" 2>/dev/null
mkdir "$tmp/ca" && : >"$tmp/ca/index" && echo 01 >"$tmp/ca/serial"
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s\nserial=%s\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' \
	"$tmp/ca/index" "$tmp/ca/serial" "$tmp/ca" >"$tmp/ca.cnf"
openssl ca -batch -config "$tmp/ca.cnf" -selfsign -notext -keyfile "$tmp/expired.key" -in "$tmp/expired.csr" -out expired.crt \
	-startdate 20000101000000Z -enddate 20010101000000Z 2>/dev/null

smime rsa2048 rsa2048 -noattr                             # as systemd-repart does
smime rsa2048-nocerts rsa2048 -noattr -nocerts            # the other common form
cms rsa2048-attributes rsa2048 -nocerts
cms rsa2048-keyid rsa2048 -nocerts -keyid -noattr
smime rsa2048-attached rsa2048 -noattr -nocerts -nodetach
openssl cms -sign -binary -stream -outform DER -in roothash -signer rsa2048.crt -inkey "$tmp/rsa2048.key" -nocerts -out rsa2048-indefinite.p7s
cms rsa2048-pss rsa2048 -nocerts -noattr -keyopt rsa_padding_mode:pss
smime rsa2048-sha1 rsa2048 -noattr -nocerts -md sha1
smime rsa2048-md5 rsa2048 -noattr -nocerts -md md5
smime rsa2048-sha512 rsa2048 -noattr -nocerts -md sha512
smime imposter imposter -noattr
smime rsa1024 rsa1024 -noattr -nocerts
smime expired expired -noattr -nocerts
smime p256 p256 -noattr -nocerts
cms p384-attributes p384 -nocerts -md sha384
smime negative negative -noattr -nocerts
smime long long -noattr -nocerts
openssl smime -sign -binary -outform DER -in roothash -noattr -nocerts -out two.p7s \
	-signer rsa2048.crt -inkey "$tmp/rsa2048.key" -signer p256.crt -inkey "$tmp/p256.key"
