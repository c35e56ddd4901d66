// Package contentcoding unpacks bodies that name a content coding, and reads which one a
// client takes; see RFC 9110, sections 8.4 and 12.5.3.
package contentcoding
