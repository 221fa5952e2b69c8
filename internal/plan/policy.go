// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package plan

import (
	"errors"
	"fmt"

	"github.com/initddi/initddi/internal/policy"
)

// What stage 1 takes where no policy was built in: an image that is signed, of the root or of /usr. A pin that was built in is a
// reason of its own to believe a root hash, so with one an image need not be signed.
const (
	defaultPolicy       = "root=signed+absent:usr=signed+absent:=ignore"
	defaultPolicyPinned = "root=verity+signed+absent:usr=verity+signed+absent:=ignore"
)

// ErrNarrow says that a policy on the command line and the one that was built in leave nothing that an image could be.
var ErrNarrow = errors.New("nothing is left of what was built in")

// DefaultPolicy returns the image policy of a stage 1 into which none was built, but, if pinned is set, at least one pin.
func DefaultPolicy(pinned bool) policy.Policy {
	text := defaultPolicy
	if pinned {
		text = defaultPolicyPinned
	}
	p, err := policy.Parse(text)
	if err != nil {
		return policy.Policy{} // uses nothing
	}
	return p
}

// bakePolicy takes a policy out of stage1.conf.
func bakePolicy(to *policy.Policy, value string) error {
	p, err := policy.Parse(value)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrValue, err)
	}
	*to = p
	return nil
}

// narrowPolicy makes a policy say no more than value does as well, and returns what the two were. It cannot say more than before.
func narrowPolicy(to *policy.Policy, value string) (parts []policy.Policy, err error) {
	p, err := policy.Parse(value)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrValue, err)
	}
	both, err := policy.And(*to, p)
	if err != nil {
		return nil, fmt.Errorf("%w, %s: %w", ErrNarrow, *to, err)
	}
	parts = []policy.Policy{*to, p}
	*to = both
	return parts, nil
}
