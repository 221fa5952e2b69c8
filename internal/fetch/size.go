// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fetch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/initddi/initddi/internal/weburl"
)

// Size asks how large a file is, in bytes, without fetching it; 0 if it is there and nobody says. The error is that of [Client.Get]: a server
// that does not answer is asked again until ctx is over or it has failed too often.
func (c *Client) Size(ctx context.Context, u weburl.URL) (int64, error) {
	for failures := 1; ; failures++ {
		size, err := c.head(ctx, u)
		if err == nil {
			return size, nil
		}
		cause := context.Cause(ctx)
		switch last := plain(err); {
		case cause != nil && failures > 1 || cause == nil && (isPermanent(err) || failures == c.o.Attempts):
			return 0, fmt.Errorf("cannot fetch %v: %w", u, last)
		case cause == nil:
			cause = c.wait(ctx, failures, u, last)
		}
		if cause != nil {
			return 0, fmt.Errorf("cannot fetch %v: %w", u, cause)
		}
	}
}

func (c *Client) head(ctx context.Context, u weburl.URL) (int64, error) {
	if u.Scheme == "https" && c.o.CAs == nil {
		return 0, ErrNoCA
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.Idle, ErrStalled)
	defer cancel()
	r, err := request(ctx, u, 0, "")
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	r.Method = http.MethodHead
	a, err := c.http.Do(r)
	if err != nil {
		return 0, because(ctx, err)
	}
	a.Body.Close()
	switch {
	case a.StatusCode == http.StatusMethodNotAllowed || a.StatusCode == http.StatusNotImplemented:
		return 0, nil // it may have the file all the same
	case a.StatusCode != http.StatusOK:
		return 0, &StatusError{Code: a.StatusCode, retryAfter: retryAfter(a.Header)}
	case isWebPage(a.Header):
		return 0, ErrWebPage
	}
	return max(a.ContentLength, 0), nil
}

// pause returns how long to wait after so many failures in a row, of which err is the last.
func (c *Client) pause(failures int, err error) time.Duration {
	d := min(c.o.Pause<<min(failures-1, 20), c.o.MaxPause)
	d = d/2 + rand.N(d/2+1)
	var status *StatusError
	if errors.As(err, &status) {
		d = max(d, min(status.retryAfter, c.o.MaxPause))
	}
	return d
}

// wait waits before the next attempt, and returns why there is to be none. err is what the last one failed for.
func (c *Client) wait(ctx context.Context, failures int, u weburl.URL, err error) error {
	d := c.pause(failures, err)
	c.o.Note(fmt.Sprintf("cannot fetch %v: %v; trying again in %v", u, err, d.Round(10*time.Millisecond)))
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
