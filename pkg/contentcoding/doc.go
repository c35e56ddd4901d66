// Package contentcoding unpacks bodies that name a content coding; see RFC
// 9110, section 8.4.
package contentcoding
