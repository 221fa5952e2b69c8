// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package tpm2

import "fmt"

// RC is TPM_RC, the code of a response that says no: Part 2, 6.6. It is an error; [errors.Is] with one of the constants does not
// mind which handle, session or parameter the TPM found wrong.
type RC uint32

// Codes that a caller may want to tell apart.
const (
	RCInitialize      RC = 0x100 // the firmware has not started it
	RCFailure         RC = 0x101 // it is in failure mode
	RCNVRange         RC = 0x146
	RCNVLocked        RC = 0x148
	RCNVAuthorization RC = 0x149
	RCNVUninitialized RC = 0x14a // defined and never written
	RCNVSpace         RC = 0x14b
	RCNVDefined       RC = 0x14c
	RCAttributes      RC = 0x082
	RCValue           RC = 0x084
	RCHandle          RC = 0x08b // there is nothing with that handle: no such NV index
	RCAuthFail        RC = 0x08e
	RCBadAuth         RC = 0x0a2
	RCLocality        RC = 0x907
	RCTesting         RC = 0x90a
	RCNVRate          RC = 0x920
	RCLockout         RC = 0x921
	RCRetry           RC = 0x922
)

// formatOne is the bit that says that handle, session or parameter are part of the code.
const formatOne = 0x080

// base is the code without them.
func (c RC) base() RC {
	if c&formatOne != 0 {
		return c & 0x0bf
	}
	return c
}

// Is makes [errors.Is] compare without regard to which handle, session or parameter is meant.
func (c RC) Is(target error) bool {
	t, ok := target.(RC)
	return ok && t.base() == c.base()
}

func (c RC) Error() string {
	s := fmt.Sprintf("the TPM says 0x%03x", uint32(c))
	if name := c.base().name(); name != "" {
		s += " (" + name + ")"
	}
	if c&formatOne == 0 {
		return s
	}
	n := c >> 8 & 0xf
	switch {
	case c&0x040 != 0:
		return fmt.Sprintf("%s about parameter %d", s, n)
	case n >= 8:
		return fmt.Sprintf("%s about session %d", s, n-8)
	case n > 0:
		return fmt.Sprintf("%s about handle %d", s, n)
	}
	return s
}

// name is what the specification calls a code, behind TPM_RC_.
func (c RC) name() string {
	switch c {
	case RCInitialize:
		return "INITIALIZE"
	case RCFailure:
		return "FAILURE"
	case RCNVRange:
		return "NV_RANGE"
	case RCNVLocked:
		return "NV_LOCKED"
	case RCNVAuthorization:
		return "NV_AUTHORIZATION"
	case RCNVUninitialized:
		return "NV_UNINITIALIZED"
	case RCNVSpace:
		return "NV_SPACE"
	case RCNVDefined:
		return "NV_DEFINED"
	case RCAttributes:
		return "ATTRIBUTES"
	case RCValue:
		return "VALUE"
	case RCHandle:
		return "HANDLE"
	case RCAuthFail:
		return "AUTH_FAIL"
	case RCBadAuth:
		return "BAD_AUTH"
	case RCLocality:
		return "LOCALITY"
	case RCTesting:
		return "TESTING"
	case RCNVRate:
		return "NV_RATE"
	case RCLockout:
		return "LOCKOUT"
	case RCRetry:
		return "RETRY"
	}
	return ""
}
