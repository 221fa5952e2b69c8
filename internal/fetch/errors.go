// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fetch

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Why a file could not be fetched.
var (
	// ErrTooLarge says that the file is, or would become, larger than the limit.
	ErrTooLarge = errors.New("too large")
	// ErrTimeout says that the time was up.
	ErrTimeout = errors.New("it took too long")
	// ErrStalled says that a connection said nothing for too long.
	ErrStalled = errors.New("the server said nothing for too long")
	// ErrEmpty says that a server has the file, and nothing in it.
	ErrEmpty = errors.New("the answer is empty")
	// ErrWebPage says that a server answered with a page for people, as they do with errors, and networks that want somebody to log in.
	ErrWebPage = errors.New("the answer is a web page, not a file")
	// ErrNoLength says that nobody could tell whether the answer is whole.
	ErrNoLength = errors.New("the server says neither how long the file is nor where it ends")
	// ErrRedirect says that a redirection is not followed.
	ErrRedirect = errors.New("cannot follow the redirection")
	// ErrProtocol says that an answer is not what was asked for.
	ErrProtocol = errors.New("the answer makes no sense")
	// ErrChanged says that the file became another one while it was fetched.
	ErrChanged = errors.New("the file has changed")
	// ErrDigest says that the file is whole, and another one than the index names.
	ErrDigest = errors.New("the file is not the one that the index names")
	// ErrNoCA says that there are no certificates to hold those of an https server against.
	ErrNoCA = errors.New("there are no CA certificates to check an https server with")
)

// StatusError is an answer that is a refusal.
type StatusError struct {
	Code int // of HTTP
	// retryAfter is how long the server asks to be left alone, 0 if it does not say.
	retryAfter time.Duration
}

// Error has the standard's words for the code, not the server's.
func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("server answered %d %s", e.Code, http.StatusText(e.Code)))
}

// Is makes 404 and 410 equal to [fs.ErrNotExist], 401 and 403 to [fs.ErrPermission].
func (e *StatusError) Is(target error) bool {
	switch e.Code {
	case http.StatusNotFound, http.StatusGone:
		return target == fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden:
		return target == fs.ErrPermission
	}
	return false
}

// isPermanent reports whether asking the same server again is of no use. What is not known to be is tried again: a network that comes
// up, a server that starts.
func isPermanent(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		switch status.Code {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return false
		}
		return status.Code < 500 || status.Code == http.StatusNotImplemented || status.Code == http.StatusHTTPVersionNotSupported
	}
	for _, e := range []error{ErrTooLarge, ErrEmpty, ErrWebPage, ErrNoLength, ErrRedirect, ErrDigest, ErrNoCA, errTarget, errStrength, http.ErrSchemeMismatch} {
		if errors.Is(err, e) {
			return true
		}
	}
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var op *net.OpError
	// A "remote error" is a TLS alert: the server does not speak what is spoken here.
	return errors.As(err, &verification) || errors.As(err, &record) || errors.As(err, &op) && op.Op == "remote error"
}

// errTarget says that it was not the network, but what was fetched into.
var errTarget = errors.New("cannot store what was fetched")

// plain takes the words off an error of package net/http that say again what the caller's sentence says, and adds what helps.
func plain(err error) error {
	var op *net.OpError
	var dns *net.DNSError
	var invalid x509.CertificateInvalidError
	var authority x509.UnknownAuthorityError
	var late interface{ Timeout() bool }
	switch {
	case errors.As(err, &dns):
		return fmt.Errorf("cannot resolve %.80q: %w", dns.Name, reworded{dnsText(dns), err})
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return reworded{fmt.Sprintf("the server's certificate is valid from %s to %s, and the clock says %s: correct the certificate, or the clock",
			day(invalid.Cert.NotBefore), day(invalid.Cert.NotAfter), day(time.Now())), err}
	case errors.As(err, &authority):
		return reworded{"the server's certificate is signed by nobody who is trusted here", err}
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("cannot connect to %v: %w", op.Addr, op.Err)
	case errors.As(err, &late) && late.Timeout():
		return reworded{ErrStalled.Error(), errors.Join(ErrStalled, err)}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return reworded{"the connection broke", err}
	}
	return err
}

func dnsText(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return "there is no such name"
	case err.IsTimeout:
		return "the name server does not answer"
	}
	return err.Err
}

// FailedError is what became of each place that a file was to be fetched from, in one sentence. It is an error that [errors.Is] and
// [errors.As] look for if one of them is, but [fs.ErrNotExist] only if all are.
type FailedError []error

// Error joins the sentences.
func (e FailedError) Error() string {
	var texts []string
	for _, err := range e {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}

// Is implements what package errors asks for.
func (e FailedError) Is(target error) bool {
	n := 0
	for _, err := range e {
		if errors.Is(err, target) {
			n++
		}
	}
	return n > 0 && (n == len(e) || target != fs.ErrNotExist)
}

// As implements what package errors asks for.
func (e FailedError) As(target any) bool {
	return slices.ContainsFunc(e, func(err error) bool { return errors.As(err, target) })
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// reworded is an error in other words.
type reworded struct {
	text string
	err  error
}

func (r reworded) Error() string { return r.text }
func (r reworded) Unwrap() error { return r.err }
