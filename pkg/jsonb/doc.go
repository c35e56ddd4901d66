// Package jsonb scans JSON: it says, before a text is accepted, whether
// PostgreSQL's jsonb type will be able to store it and to give it back, and as
// which text; whether a document is valid at all; and what members and elements a
// valid one has.
//
//   - Check, or Scan, reads a payload once. Compact, whose result is what is
//     hashed, is for those in which Scan has found white space.
//   - Canonical writes a payload as jsonb gives it back, so that nobody has to read
//     back what was stored a moment ago.
//   - Valid reads a whole document once. What it accepts may be walked over with
//     Members and Elements, which skip and do not check.
//
// Check accepts a subset of RFC 8259: one value in valid UTF-8, without what
// jsonb refuses (the character U+0000 and lone surrogates) and without what
// jsonb takes and then cannot return, or only at a price. jsonb keeps numbers
// as numeric and writes them out in full, so 1e131071 is 8 bytes on the way
// in and 128 KiB on the way out, and a list of them becomes more than a text
// value may hold. Hence two limits on numbers: one for each, and one for the
// growth of all of them together. jsonb's own limits (2^28-1 bytes of
// elements in one container, as many elements, 2^28-1 bytes in one string)
// are out of reach of a text of MaxSize bytes.
package jsonb
