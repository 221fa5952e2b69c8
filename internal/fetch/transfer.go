// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/weburl"
)

// Get fetches a file into to, from the first of its places that has it.
//
// Every error says which URL it is about, and is a [FailedError] if there are several. It wraps what the server or the network said last,
// and [ErrTimeout] if the time was up. What is in to then is undefined.
func (c *Client) Get(ctx context.Context, file File, to Target) (*Result, error) {
	if len(file.URLs) == 0 || file.Limit <= 0 {
		return nil, fmt.Errorf("cannot fetch %d URLs with a limit of %d bytes", len(file.URLs), file.Limit)
	}
	f := &transfer{c: c, file: file, to: to, start: time.Now()}
	ctx, f.cancel = context.WithCancelCause(ctx)
	defer f.cancel(nil)
	f.clock = time.AfterFunc(c.o.Timeout, func() { f.cancel(ErrTimeout) })
	defer f.clock.Stop()
	places := make([]place, len(file.URLs))
	for i, u := range file.URLs {
		places[i].url = u
	}
	return f.run(ctx, places)
}

// place is one of the URLs, and what came of it.
type place struct {
	url  weburl.URL
	err  error
	dead bool // asking again is of no use
}

// transfer is one file on its way.
type transfer struct {
	c      *Client
	file   File
	to     Target
	start  time.Time
	cancel context.CancelCauseFunc
	clock  *time.Timer

	// What is stored: have bytes of a file of size bytes (0 if nobody said), which from said is the one with the validator.
	have, size int64
	from       weburl.URL
	validator  string // for If-Range; empty if there is none
	sum        hash.Hash
	// best is the most that was ever stored: less than that again is no progress.
	best               int64
	resumed, restarted int
}

// partialTries is how often in a row a server is asked for the rest of what it has sent a part of, before another one is asked for
// all of it.
const partialTries = 3

// run asks the places in turn until one has sent everything.
func (f *transfer) run(ctx context.Context, places []place) (*Result, error) {
	failures := 0
	for {
		alive := false
		for i := range places {
			p := &places[i]
			for tries := 0; !p.dead && (tries == 0 || tries < partialTries && f.have > 0 && f.from == p.url); tries++ {
				before := f.best
				result, err := f.attempt(ctx, p.url)
				if err == nil {
					return result, nil
				}
				cause := context.Cause(ctx)
				if cause == nil || p.err == nil && !errors.Is(err, cause) {
					p.err, p.dead = plain(err), isPermanent(err)
				}
				switch {
				case cause != nil:
					return nil, f.gaveUp(places, cause)
				case errors.Is(err, errTarget):
					return nil, fmt.Errorf("cannot fetch %v: %w", p.url, p.err)
				}
				failures++
				if f.best > before {
					tries, failures = 0, 1
				}
				if failures >= f.c.o.Attempts {
					return nil, f.gaveUp(places, nil)
				}
				if !p.dead {
					if cause := f.c.wait(ctx, failures, p.url, p.err); cause != nil {
						return nil, f.gaveUp(places, cause)
					}
				}
			}
			alive = alive || !p.dead
		}
		if !alive {
			return nil, f.gaveUp(places, nil)
		}
	}
}

// gaveUp is the error for all places; cause is why it is not tried any longer, nil if they themselves are.
func (f *transfer) gaveUp(places []place, cause error) error {
	var errs FailedError
	for _, p := range places {
		switch {
		case p.err != nil && cause != nil:
			errs = append(errs, fmt.Errorf("cannot fetch %v: %w, and before that: %w", p.url, cause, p.err))
		case p.err != nil:
			errs = append(errs, fmt.Errorf("cannot fetch %v: %w", p.url, p.err))
		}
	}
	switch len(errs) {
	case 0:
		return fmt.Errorf("cannot fetch %v: %w", places[0].url, cause)
	case 1:
		return errs[0]
	}
	return errs
}

// attempt asks a server for what is missing and stores what it sends.
func (f *transfer) attempt(ctx context.Context, u weburl.URL) (*Result, error) {
	if u.Scheme == "https" && f.c.o.CAs == nil {
		return nil, ErrNoCA
	}
	if f.have > 0 && (f.from != u || f.validator == "") {
		f.c.o.Note(fmt.Sprintf("starting again with %v: what is there of %v cannot be continued", u, f.from))
		if err := f.reset(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, err := request(ctx, u, f.have, f.validator)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	answer, err := f.c.http.Do(r)
	if err != nil {
		return nil, because(ctx, err)
	}
	defer answer.Body.Close()
	if err := f.accept(u, answer); err != nil {
		return nil, err
	}
	if err := f.store(ctx, cancel, answer.Body); err != nil {
		return nil, because(ctx, err)
	}
	return f.finish(u)
}

// because returns why a request ended: what it was cancelled for, if it was.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// accept looks at the head of an answer and makes what is stored ready for its body.
func (f *transfer) accept(u weburl.URL, a *http.Response) error {
	f.c.o.Trace(fmt.Sprintf("%v, from byte %d: status %d, %d bytes, type %.40q, entity tag %.80q, last modified %.40q",
		a.Request.URL, f.have, a.StatusCode, a.ContentLength, a.Header.Get("Content-Type"), a.Header.Get("Etag"), a.Header.Get("Last-Modified")))
	switch {
	case a.StatusCode == http.StatusRequestedRangeNotSatisfiable && f.have > 0:
		// It has become shorter than what is there of it.
		return errors.Join(f.reset(), ErrChanged)
	case a.StatusCode != http.StatusOK && (a.StatusCode != http.StatusPartialContent || f.have == 0):
		return &StatusError{Code: a.StatusCode, retryAfter: retryAfter(a.Header)}
	}
	if e := a.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return fmt.Errorf("%w: it is encoded as %.40q, which nobody asked for", ErrProtocol, e)
	}
	if isWebPage(a.Header) {
		return ErrWebPage
	}
	if a.StatusCode == http.StatusPartialContent {
		return f.acceptPart(u, a)
	}
	if f.have > 0 {
		why := "the server cannot continue"
		if v := validatorOf(a.Header); v != f.validator {
			why = ErrChanged.Error()
		}
		f.c.o.Note(fmt.Sprintf("starting again with %v: %s", u, why))
		if err := f.reset(); err != nil {
			return err
		}
	}
	size := a.ContentLength
	switch {
	case size == 0:
		return ErrEmpty
	case size < 0 && len(a.TransferEncoding) == 0:
		return ErrNoLength
	case size > f.file.Limit:
		return fmt.Errorf("%w: it has %d bytes, and %d are allowed", ErrTooLarge, size, f.file.Limit)
	}
	f.from, f.size, f.validator = u, max(size, 0), validatorOf(a.Header)
	if strings.EqualFold(a.Header.Get("Accept-Ranges"), "none") {
		f.validator = ""
	}
	return nil
}

// acceptPart looks at the head of an answer that goes on where another one broke.
func (f *transfer) acceptPart(u weburl.URL, a *http.Response) error {
	first, size, err := contentRange(a.Header.Get("Content-Range"))
	etag := a.Header.Get("Etag")
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrProtocol, err)
	case first != f.have:
		err = fmt.Errorf("%w: it goes on at byte %d, wanted %d", ErrProtocol, first, f.have)
	case f.size > 0 && size >= 0 && size != f.size, strings.HasPrefix(f.validator, `"`) && etag != "" && etag != f.validator:
		err = ErrChanged
	case size > f.file.Limit:
		err = fmt.Errorf("%w: it has %d bytes, and %d are allowed", ErrTooLarge, size, f.file.Limit)
	}
	if err != nil {
		// Asked the same way, such a server would say the same again.
		return errors.Join(f.reset(), err)
	}
	if size > 0 {
		f.size = size
	}
	f.resumed++
	f.c.o.Note(fmt.Sprintf("going on with %v at byte %d", u, f.have))
	return nil
}

// contentRange reads "bytes FIRST-LAST/SIZE" (RFC 9110, section 14.4); size is -1 where it is "*".
func contentRange(s string) (first, size int64, err error) {
	var last int64
	span, total, ok := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	from, to, both := strings.Cut(span, "-")
	var errs [3]error
	first, errs[0] = strconv.ParseInt(from, 10, 64)
	last, errs[1] = strconv.ParseInt(to, 10, 64)
	if size = -1; total != "*" {
		size, errs[2] = strconv.ParseInt(total, 10, 64)
	}
	if !ok || !both || !strings.HasPrefix(s, "bytes ") || errors.Join(errs[:]...) != nil || first < 0 || last < first || size >= 0 && last != size-1 {
		return 0, 0, fmt.Errorf("its range is %.60q", s)
	}
	return first, size, nil
}

// validatorOf returns what can stand in If-Range for this version of the file: a strong entity tag, else a time of last modification that
// is a second older than the answer (RFC 9110, sections 8.8.2.2 and 13.1.5), else nothing.
func validatorOf(h http.Header) string {
	if etag := h.Get("Etag"); len(etag) > 2 && len(etag) < 200 && strings.HasPrefix(etag, `"`) && strings.HasSuffix(etag, `"`) {
		return etag
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	date, errDate := http.ParseTime(h.Get("Date"))
	if err != nil || errDate != nil || date.Sub(modified) < time.Second {
		return ""
	}
	return h.Get("Last-Modified")
}

// retryAfter reads Retry-After in seconds; a date is of no use to a machine whose clock may be wrong.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.ParseUint(h.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// reset empties the target.
func (f *transfer) reset() error {
	if f.have > 0 {
		f.restarted++
	}
	f.have, f.size, f.validator, f.sum, f.from = 0, 0, "", nil, weburl.URL{}
	if err := f.to.Truncate(0); err != nil {
		return fmt.Errorf("%w: %w", errTarget, err)
	}
	return nil
}

// chunk is how much is read at once.
const chunk = 256 << 10

// store reads an answer's body to its end. cancel ends the request.
func (f *transfer) store(ctx context.Context, cancel context.CancelCauseFunc, body io.Reader) error {
	idle := time.AfterFunc(f.c.o.Idle, func() { cancel(ErrStalled) })
	defer idle.Stop()
	if f.file.SHA256 != nil && f.sum == nil {
		f.sum = sha256.New()
	}
	buf := make([]byte, chunk)
	for {
		n, err := body.Read(buf)
		idle.Reset(f.c.o.Idle)
		if n > 0 {
			if serr := f.add(buf[:n]); serr != nil {
				return serr
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return because(ctx, err)
		}
	}
}

// add stores bytes behind those that are there.
func (f *transfer) add(b []byte) error {
	switch end := f.have + int64(len(b)); {
	case end > f.file.Limit:
		return fmt.Errorf("%w: more than the %d bytes that are allowed came", ErrTooLarge, f.file.Limit)
	case f.size > 0 && end > f.size:
		return errors.Join(f.reset(), fmt.Errorf("%w: more than %d bytes came", ErrProtocol, f.size))
	}
	if f.have == 0 && looksLikeHTML(b) {
		return ErrWebPage
	}
	if _, err := f.to.WriteAt(b, f.have); err != nil {
		return fmt.Errorf("%w: %w", errTarget, err)
	}
	if f.sum != nil {
		f.sum.Write(b)
	}
	f.have += int64(len(b))
	f.best = max(f.best, f.have)
	f.allow()
	f.c.o.Progress(f.have, f.size)
	return nil
}

// isWebPage reports whether an answer says that it is one.
func isWebPage(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (kind == "text/html" || kind == "application/xhtml+xml")
}

// looksLikeHTML finds the web pages that are not called so.
func looksLikeHTML(b []byte) bool {
	start := bytes.ToLower(bytes.TrimLeft(b[:min(len(b), 64)], "\t\n\r \ufeff"))
	return bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html"))
}

// allow moves the end of the time that the transfer may take: Timeout, and as long as what is there took at MinRate. So a server that is too
// slow is given up when that is clear, and not after all the time that the whole file might take.
func (f *transfer) allow() {
	// Not in integers: a product of nanoseconds and bytes is soon too large for one.
	d := f.c.o.Timeout + time.Duration(float64(f.best)/float64(f.c.o.MinRate)*float64(time.Second))
	f.clock.Reset(max(d-time.Since(f.start), 0))
}

// finish judges a body that came to its end.
func (f *transfer) finish(u weburl.URL) (*Result, error) {
	switch {
	case f.have == 0:
		return nil, ErrEmpty
	case f.size > 0 && f.have != f.size:
		return nil, fmt.Errorf("%d of %d bytes came: %w", f.have, f.size, io.ErrUnexpectedEOF)
	}
	r := &Result{URL: u, Size: f.have, Resumed: f.resumed, Restarted: f.restarted}
	if want := f.file.SHA256; want != nil {
		r.SHA256 = (*[32]byte)(f.sum.Sum(nil))
		if *r.SHA256 != *want {
			err := fmt.Errorf("%w: SHA-256 is %x…, wanted %x…", ErrDigest, r.SHA256[:8], want[:8])
			return nil, errors.Join(f.reset(), err)
		}
	}
	return r, nil
}
