// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package keys

import "testing"

func TestReason(t *testing.T) {
	const queue = "40479A41F77F0000:error:13000080:engine routines:ENGINE_load_private_key:failed loading private key:../crypto/engine/eng_pkey.c:79:\n"
	for _, test := range []struct{ text, want string }{
		{"Engine \"pkcs11\" set.\nNo matching initialized token was found for private key\nPKCS11_get_private_key returned NULL\n" + queue, "No matching initialized token was found for private key"},
		{queue + queue, "failed loading private key"},
		{"00:error:1:lib:func:no engine:x.c:1:id=pkcs11:y\n", "no engine (id=pkcs11:y)"},
		{queue + "Could not read signing key\n", "Could not read signing key"},
		{"Engine \"pkcs11\" set.\n", ""},
		{"", ""},
	} {
		if got := reason(test.text); got != test.want {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
}
