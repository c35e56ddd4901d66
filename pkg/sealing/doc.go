// Package sealing encrypts what is kept at rest, with AES-256-GCM and one of
// several keys: the first encrypts, and all decrypt, so that keys can be changed.
package sealing
